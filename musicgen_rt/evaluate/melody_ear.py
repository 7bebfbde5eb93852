"""The PCM that a daemon publishes, kept and put together by what its headers say."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.evaluate.daemon_ear import DaemonEar

# A starved machine may be late; who is silent for so long has ended.
_SILENCE_SECONDS = 30.0
_FALLBACK = "/mgrt/fallback"
# Places of samples of two rates are rounded: blocks that follow on each other are joined.
_JOINED_SAMPLES = 2


class Block(NamedTuple):
    """Mono samples [N] at the output's rate; session sample and beat of the first."""

    sample: float
    beat: float
    rate_hz: int
    samples: NDArray[np.float32]


class PhraseEar(DaemonEar):
    """Keeps what was heard since `first_from` was last asked.

    Counts blocks that did not come, and how often old bars were played in place of new ones.
    """

    def __init__(self, port: int, session_rate_hz: int) -> None:
        super().__init__(port, events=(_FALLBACK,))
        self._session_rate_hz = session_rate_hz
        self._more = threading.Condition()
        self._blocks: list[Block] = []
        self._expected: int | None = None
        self.lost_blocks = self.fallbacks = 0

    def first_from(self, beat: float) -> Block:
        """Wait for the first block that begins at a beat or later; forget those before it.

        Raises MusicgenRTError if none comes for half a minute.
        """
        with self._more:
            while True:
                self._blocks = [one for one in self._blocks if one.beat >= beat]
                if self._blocks:
                    return self._blocks[0]
                self._wait()

    def until(self, sample: float) -> None:
        """Wait until the session's sample has come. Raises MusicgenRTError as `first_from`."""
        with self._more:
            while not self._blocks or self._end_sample(self._blocks[-1]) < sample:
                self._wait()

    def between(self, first_sample: float, end_sample: float) -> tuple[NDArray[np.float32], int]:
        """Samples [N] between two samples of the session, and their rate; zeros where none came."""
        with self._more:
            blocks = list(self._blocks)
        rate_hz = blocks[-1].rate_hz
        scale = rate_hz / self._session_rate_hz
        whole = np.zeros(round((end_sample - first_sample) * scale), np.float32)
        end = 0
        for block in blocks:
            at = round((block.sample - first_sample) * scale)
            at = end if abs(at - end) <= _JOINED_SAMPLES else at
            end = at + len(block.samples)
            low, high = max(0, at), min(len(whole), end)
            if low < high:
                whole[low:high] = block.samples[low - at : high - at]
        return whole, rate_hz

    def take_block(self, header: Mapping[str, Any], samples: NDArray[np.float32]) -> None:
        if self._expected is not None and header["sequence"] != self._expected:
            self.lost_blocks += max(1, header["sequence"] - self._expected)
        self._expected = header["sequence"] + 1
        where = header["sample"], header["beat"], header["rate_hz"]
        with self._more:
            self._blocks.append(Block(*where, samples.mean(axis=1)))
            self._more.notify_all()

    def take_event(self, address: str, args: Sequence[Any]) -> None:
        self.fallbacks += bool(args[0])

    def _end_sample(self, block: Block) -> float:
        return block.sample + len(block.samples) * self._session_rate_hz / block.rate_hz

    def _wait(self) -> None:
        if not self._more.wait(_SILENCE_SECONDS):
            raise MusicgenRTError(f"the daemon published no sound for {_SILENCE_SECONDS:g} s")
