"""Stretches audio in time without changing its pitch, piece by piece, without a seam.

Each piece is a whole call of Signalsmith Stretch (python-stretch), which reads a little beyond both
ends of the piece: what it gives depends on the source and the piece alone, so after the music went
back a piece can be made again. Neighbours overlap by a short crossfade, where the later one is
moved by up to a few milliseconds so that the two agree. A plain piece is the source itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import python_stretch
from numpy.typing import NDArray

from musicgen_rt.live.beat_map import Stretch
from musicgen_rt.live.beat_source import SourceHistory
from musicgen_rt.live.buffer_writer import Samples

# Short enough that an attack stays one, long enough for a bass.
_BLOCK_SECONDS = 0.08
_BLOCKS_A_HOP = 4
_FADE_SECONDS = 0.012
_MOVE_SECONDS = 0.003
_SEED = 1
_MAX_CHANNELS_A_CALL = 2


@dataclass(frozen=True)
class Overlap:
    """What a piece would have gone on to: samples [C, fade]; the next one is faded in over it."""

    samples: Samples
    is_plain: bool


class Warp:
    """Makes pieces. It keeps nothing between two calls. One thread: the engine's."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.fade_samples = round(_FADE_SECONDS * rate_hz)
        self._move_samples = round(_MOVE_SECONDS * rate_hz)
        hop = round(_BLOCK_SECONDS * rate_hz / _BLOCKS_A_HOP)
        self._context_samples = _BLOCKS_A_HOP * hop
        self._stretchers = []
        for first in range(0, channels, _MAX_CHANNELS_A_CALL):
            count = min(_MAX_CHANNELS_A_CALL, channels - first)
            stretcher = python_stretch.Signalsmith.Stretch(_SEED)
            stretcher.configure(count, _BLOCKS_A_HOP * hop, hop)
            self._stretchers.append((slice(first, first + count), stretcher))

    @property
    def lookahead_samples(self) -> int:
        """How much of the stream must be known beyond a piece that is stretched."""
        return self._context_samples + 2 * self.fade_samples

    def piece(
        self, source: SourceHistory, place: Stretch, before: Overlap | None
    ) -> tuple[Samples, Overlap]:
        """The session's samples [C, N] of a piece, and what it would go on to.

        `before` is what the piece before would have gone on to, None at a beginning.
        """
        count = place.session_end - place.session_first
        if place.is_plain:
            samples = source.read(place.stream_first, count + self.fade_samples)
        else:
            samples = self._stretched(source, place, before)
        if before is not None and not (before.is_plain and place.is_plain):
            n = min(self.fade_samples, count)
            gain = _fade_in(self.fade_samples)[:n]
            samples[:, :n] = samples[:, :n] * gain + before.samples[:, :n] * (1 - gain)
        return samples[:, :count], Overlap(samples[:, count:].copy(), place.is_plain)

    def _stretched(self, source: SourceHistory, place: Stretch, before: Overlap | None) -> Samples:
        """The piece and its overlap [C, N + fade], moved to agree with what came before."""
        # A whole number of session samples before the piece, so that it begins on one.
        lead = self._context_samples
        need = lead + place.session_end - place.session_first + self.fade_samples + lead
        first = place.stream_first - lead * place.rate
        taken = source.read(round(first), round(need * place.rate))
        made = self._stretch(taken, place.rate)
        move = 0
        if before is not None:
            move = self._best_move(made.mean(axis=0), lead, before.samples.mean(axis=0))
        begin = lead + move
        return made[:, begin : begin + need - 2 * lead]

    def _stretch(self, samples: Samples, rate: float) -> Samples:
        parts = []
        for channels, stretcher in self._stretchers:
            stretcher.setTimeFactor(rate)
            parts.append(stretcher.process(np.ascontiguousarray(samples[channels])))
        return np.concatenate(parts)

    def _best_move(self, made: NDArray[np.float32], at: int, before: NDArray[np.float32]) -> int:
        """How much later, in samples, the new piece agrees best with the old one."""
        reach, n = self._move_samples, len(before)
        around = made[at - reach : at + n + reach]
        products = np.correlate(around, before, "valid")
        energy = np.convolve(np.square(around), np.ones(n, np.float32), "valid")
        likeness = products / np.sqrt(energy + 1e-9)
        # Of equals the one that moves least.
        likeness -= 1e-3 * np.abs(likeness).max() * np.abs(np.arange(-reach, reach + 1)) / reach
        return int(likeness.argmax()) - reach


def _fade_in(count: int) -> NDArray[np.float32]:
    phase = (np.arange(count) + 1) / (count + 1)
    return (0.5 - 0.5 * np.cos(np.pi * phase)).astype(np.float32)
