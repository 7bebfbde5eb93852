"""Python's collector of garbage, out of the way of what is measured."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_off() -> Iterator[None]:
    """No collection: in a process as large as this one takes some tenths of a second, anywhere."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
