"""A JACK server for tests that need one: skipped, or failed in CI, where jackd is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from musicgen_rt.evaluate.jack_server import PERIOD_FRAMES, RATE_HZ, JackServer
from tests.programs import requires_program


def require_jack() -> None:
    """Skip, or fail in CI, what needs a JACK server and a client of it."""
    for program in ("jackd", "jack_wait"):
        requires_program(program)
    pytest.importorskip("jack")


@contextmanager
def jack_server(rate_hz: int = RATE_HZ, period_frames: int = PERIOD_FRAMES) -> Iterator[JackServer]:
    """A running server that is gone afterwards."""
    require_jack()
    with JackServer(rate_hz, period_frames) as server:
        yield server
