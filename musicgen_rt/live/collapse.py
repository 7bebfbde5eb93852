"""Hears when the music has collapsed: to silence, or to one tone that does not end."""

from __future__ import annotations

from collections import deque

import numpy as np

from musicgen_rt.live.buffer_writer import Samples

SILENCE = "silence"
ONE_TONE = "one tone"

# Long enough to tell neighbouring notes of the middle octaves apart.
_BLOCK_SECONDS = 0.128
_SILENT_RMS = 10 ** (-60 / 20)
# A steady tone has nearly all of its power in a few neighbouring bins of one spectrum ...
_TONE_BINS = 3
_TONE_PART = 0.98
# ... and neither its level nor its bin moves.
_TONE_LEVEL_DB = 1.5
_MAX_BLOCKS = 4096


class CollapseDetector:
    """Follows the samples as they are made. One thread: the engine's."""

    def __init__(self, rate_hz: int) -> None:
        self._block_samples = round(_BLOCK_SECONDS * rate_hz)
        self._window = np.hanning(self._block_samples).astype(np.float32)
        self._rest = np.zeros(0, np.float32)
        self._end = 0
        self._blocks: deque[tuple[int, str | None, int, float]] = deque(maxlen=_MAX_BLOCKS)

    def hear(self, first_sample: int, samples: Samples) -> None:
        """The next samples [C, N]; where they do not follow, what lies from there on is void."""
        if first_sample != self._end:
            self._rest = np.zeros(0, np.float32)
            while self._blocks and self._blocks[-1][0] + self._block_samples > first_sample:
                self._blocks.pop()
            if self._blocks and self._blocks[-1][0] + 2 * self._block_samples < first_sample:
                self._blocks.clear()
        self._end = first_sample + samples.shape[1]
        # The loudest channel: what is in phase opposition is no silence.
        loudest = int(np.argmax(np.square(samples).sum(axis=1))) if samples.size else 0
        mono = np.concatenate([self._rest, samples[loudest]])
        first = self._end - len(mono)
        n = self._block_samples
        for at in range(0, len(mono) - n + 1, n):
            self._blocks.append((first + at, *self._judge(mono[at : at + n])))
        self._rest = mono[len(mono) // n * n :]

    def collapsed_for(self) -> tuple[str | None, int]:
        """What the music has collapsed to, if anything, and for how many samples by now."""
        kind, count = None, 0
        bins: list[int] = []
        levels: list[float] = []
        for _, one, peak_bin, level_db in reversed(self._blocks):
            if one is None or (kind is not None and one != kind):
                break
            bins.append(peak_bin)
            levels.append(level_db)
            is_steady = max(bins) - min(bins) <= 1 and max(levels) - min(levels) <= _TONE_LEVEL_DB
            if one == ONE_TONE and not is_steady:
                break
            kind, count = one, count + 1
        return kind, count * self._block_samples

    @property
    def hears_music(self) -> bool:
        """Whether the newest sound is neither silence nor a tone."""
        return bool(self._blocks) and self._blocks[-1][1] is None

    def forget(self) -> None:
        """Begin anew, as after a remedy."""
        self._blocks.clear()

    def _judge(self, block: np.ndarray) -> tuple[str | None, int, float]:
        """Silence, a tone or neither, with the strongest bin and the level."""
        rms = float(np.sqrt(np.mean(np.square(block, dtype=np.float64))))
        if rms < _SILENT_RMS:
            return SILENCE, 0, 0.0
        power = np.square(np.abs(np.fft.rfft(block * self._window)))
        peak = int(np.argmax(power))
        near = power[max(0, peak - _TONE_BINS) : peak + _TONE_BINS + 1].sum()
        is_tone = near >= _TONE_PART * power.sum()
        return (ONE_TONE if is_tone else None), peak, 20 * float(np.log10(rms))
