"""A session on a virtual sound card that meets real Link peers in other processes.

The card's time is the system's, but it passes when the test says so: a machine that is slow is
late, and what the card was given still lies at exact moments of the clock that Link goes by.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.clock.host_sources import host_sources
from bridge.clock.midi import MidiFeed
from musicgen_rt.evaluate import sync_marks
from tests.bridge.clock.twin_stage import Card, TwinStage

DEADLINE_SECONDS = 40.0
QUANTUM = 4


class Peer:
    """The other process: a peer of the Link session from now on."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("link_peer.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, line: str = "beat") -> dict[str, Any]:
        """Do what a line says, and tell how it is then; `time_ns` is monotonic."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return {**answer, "time_ns": answer["micros"] * 1000 + _clocks_apart_ns()}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _clocks_apart_ns() -> int:
    """From the raw monotonic clock to the other, by the quickest of some looks at both."""
    looks = []
    for _ in range(5):
        before_ns = time.monotonic_ns()
        raw_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        after_ns = time.monotonic_ns()
        looks.append((after_ns - before_ns, (before_ns + after_ns) // 2 - raw_ns))
    return min(looks)[1]


class LinkStage(TwinStage):
    """A session at a tempo of its own, playing, that can choose the source "link"."""

    def __init__(self, folder: Path, bpm: float) -> None:
        super().__init__(
            folder,
            Card(),
            bpm,
            sources=host_sources(MidiFeed()),
            begin_ns=time.monotonic_ns(),
        )

    @property
    def bpm(self) -> float:
        """The tempo that clients are told."""
        return float(self.session.state["clock/bpm"])

    @property
    def is_playing(self) -> bool:
        return bool(self.session.state["transport/is_playing"])

    def live(self, seconds: float) -> None:
        """Let real time pass."""
        end_ns = time.monotonic_ns() + round(seconds * 1e9)
        while self.clock.now_ns < end_ns:
            behind_ns = min(time.monotonic_ns(), end_ns) - self.clock.now_ns
            if behind_ns > 0:
                self.run(behind_ns * 1e-9)
            else:
                time.sleep(0.005)

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Let real time pass until something is so."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, what
            self.live(0.02)

    def clicks_ns(self, since_ns: int) -> NDArray[np.float64]:
        """When each click since a moment was heard [N]."""
        first = self.first_heard_from(since_ns)
        heard = sync_marks.clicks(self.heard_from(first), self.card.rate_hz)
        samples = first + np.array(heard, np.float64)
        return self.output.began_host_ns + samples * 1e9 / self.card.rate_hz

    def errors_to_ms(self, peer: Peer, since_ns: int) -> NDArray[np.float64]:
        """How late each click since a moment was heard by the peer's beats [N]."""
        theirs = peer.ask()
        beats_a_ns = theirs["bpm"] / 60e9
        beats = theirs["beat"] + (self.clicks_ns(since_ns) - theirs["time_ns"]) * beats_a_ns
        errors: NDArray[np.float64] = (beats - np.round(beats)) / beats_a_ns / 1e6
        return errors

    def close(self) -> None:
        self.session.clock.source.stop()
