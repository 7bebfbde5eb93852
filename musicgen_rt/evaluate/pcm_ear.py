"""What a subscriber of the daemon's PCM hears, judged as it comes: its samples and its beats.

Bounded: a block is kept until the next ten seconds are judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.daemon_ear import DaemonEar
from musicgen_rt.evaluate.stage_sound import SoundFaults, faults_of, joined

_JUDGED_SECONDS = 10.0
# Of a beat; what the header says is rounded to less.
_BEAT_GRACE = 1e-3
# At a start the resampler gives a few blocks before its first sample's place is known.
_SETTLING_BLOCKS = 4
_MOST_KEPT = 100


@dataclass(frozen=True)
class Heard:
    """The verdict so far; positions are samples of all that was played."""

    sound: SoundFaults
    # Blocks that did not follow on the one before: this client, or the daemon, was too slow.
    gaps: int
    # Blocks whose beat is not where tempo and length of the one before put it.
    beat_faults: int
    worst_beats: float
    blocks: int


class PcmJudge:
    """Takes blocks one by one. One thread."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.float32]] = []
        self._count = 0
        self._last: Mapping[str, Any] | None = None
        self._last_frames = 0
        self._faults: list[SoundFaults] = []
        self._gaps = self._beat_faults = self._total = self._judged_samples = 0
        self._worst_beats = 0.0
        self._blocks_played = 0

    def take(self, header: Mapping[str, Any], samples: NDArray[np.float32]) -> None:
        """One block [N, C] with its header."""
        rate_hz = int(header["rate_hz"])
        if self._last is not None and header["sequence"] != self._last["sequence"] + 1:
            self._gaps += 1
            self._judge(int(self._last["rate_hz"]))
        elif self._last is not None and self._last["rate_hz"] == rate_hz:
            off_beats = self._off_beats(header)
            self._beat_faults += int(off_beats > _BEAT_GRACE)
            self._worst_beats = max(self._worst_beats, off_beats)
        self._total += 1
        self._blocks_played = self._blocks_played + 1 if header["is_playing"] else 0
        self._last, self._last_frames = header, len(samples)
        if header["is_playing"]:
            self._blocks.append(samples)
            self._count += len(samples)
        else:  # silence was asked for
            self._judge(rate_hz)
        if self._count >= _JUDGED_SECONDS * rate_hz:
            self._judge(rate_hz)

    def heard(self) -> Heard:
        """The verdict on all that came, what waits included."""
        if self._last is not None:
            self._judge(int(self._last["rate_hz"]))
        sound = joined(self._faults)
        return Heard(sound, self._gaps, self._beat_faults, self._worst_beats, self._total)

    def _off_beats(self, header: Mapping[str, Any]) -> float:
        """How far a block's beat is from where it follows on the last one's, tempo allowed for."""
        assert self._last is not None
        if not header["is_playing"] or self._blocks_played < _SETTLING_BLOCKS:
            return 0.0
        seconds = self._last_frames / float(self._last["rate_hz"])
        step = float(header["beat"]) - float(self._last["beat"])
        low, high = (seconds * bpm / 60 for bpm in sorted((self._last["bpm"], header["bpm"])))
        return float(max(0.0, low - step, step - high))

    def _judge(self, rate_hz: int) -> None:
        if self._blocks:
            # The longest hole that is none: a block of 20 ms is the grain of a pause.
            samples = np.concatenate(self._blocks)
            faults = faults_of(samples, rate_hz, rate_hz // 50)
            self._faults.append(faults.moved(self._judged_samples))
            self._judged_samples += len(samples)
            if len(self._faults) > _MOST_KEPT:
                self._faults = [joined(self._faults)]
        self._blocks, self._count = [], 0


class PcmEar(DaemonEar):
    """Judges until closed."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._judge = PcmJudge()

    def take_block(self, header: Mapping[str, Any], samples: NDArray[np.float32]) -> None:
        self._judge.take(header, samples)

    def heard(self) -> Heard:
        """Stop listening; the verdict."""
        self.close()
        return self._judge.heard()
