"""How strongly something begins at each moment of the stream: what beats are found in.

The half-wave rectified growth of a mel-like spectrum in decibels over two hops (spectral flux, as
in Bello et al., "A tutorial on onset detection in music signals", 2005), with the lowest bands, in
which a kick lies, counted more than the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.live.beat_source import SourceHistory

HOP_SECONDS = 0.01

_WINDOW_SECONDS = 0.032
_LAG_HOPS = 2
_BANDS = 24
_LOWEST_HZ, _HIGHEST_HZ = 40.0, 14_000.0
# A band's level below this, in dB full scale, counts as silence.
_FLOOR_DB = -55.0
# So much growth, in dB, every steady sound shows now and then.
_STEADY_DB = 1.5
# The bands of kick and bass together weigh as much as all others.
_LOW_HZ = 160.0
# Growth over two hops is greatest this long after the sound has begun.
_LATE_SECONDS = 0.0015
_KEPT_HOPS = 6000
_BLOCK_HOPS = 256


class OnsetStrength:
    """The strength [N] in dB at every hop, as far as the source is known. [engine]

    Value i belongs to `seconds_of(i)` of the stream; `hop_samples` lie between two.
    """

    def __init__(self, rate_hz: int) -> None:
        self.hop_samples = round(HOP_SECONDS * rate_hz)
        self._rate_hz = rate_hz
        count = round(_WINDOW_SECONDS * rate_hz)
        self._window = np.hanning(count + 1)[:count].astype(np.float32)
        # [bands, bins], [bands, 2]: of all bands, and of the lowest alone.
        self._bands, self._weights = _filters(rate_hz, count)
        self._first_hop = self._end_hop = 0
        self._levels = np.full((0, _BANDS), _FLOOR_DB)  # of the hops that are kept
        self._strengths = np.zeros((0, 2))

    @property
    def end_hop(self) -> int:
        """The first hop that is not known yet."""
        return self._end_hop

    def seconds_of(self, hops: NDArray[np.int64]) -> NDArray[np.float64]:
        """The stream's times to which hops belong."""
        return hops.astype(np.float64) * (self.hop_samples / self._rate_hz) - _LATE_SECONDS

    def strengths(self, first_hop: int, end_hop: int) -> NDArray[np.float64]:
        """The strengths [end - first] of hops; 0 for those that are not known."""
        return self._known(first_hop, end_hop)[:, 0]

    def low_peak(self, sample: float, reach_seconds: float) -> float:
        """The greatest strength in the lowest bands around a sample of the stream, in dB."""
        hops_a_second = self._rate_hz / self.hop_samples
        middle = (sample / self._rate_hz + _LATE_SECONDS) * hops_a_second
        reach = reach_seconds * hops_a_second
        around = self._known(round(middle - reach), round(middle + reach) + 1)
        return float(around[:, 1].max())

    def _known(self, first_hop: int, end_hop: int) -> NDArray[np.float64]:
        out = np.zeros((end_hop - first_hop, 2))
        first, end = max(first_hop, self._first_hop), min(end_hop, self._end_hop)
        if first < end:
            known = self._strengths[first - self._first_hop : end - self._first_hop]
            out[first - first_hop : end - first_hop] = known
        return out

    def cut(self, source: SourceHistory) -> None:
        """Forget what was heard of samples that the source no longer holds."""
        end = max(0, (source.end_sample - len(self._window) // 2) // self.hop_samples)
        first = -(-source.first_sample // self.hop_samples)
        if not self._first_hop <= end <= self._end_hop or end < first:
            self._first_hop = self._end_hop = max(first, end)
        else:
            self._end_hop = end
        count = self._end_hop - self._first_hop
        self._levels, self._strengths = self._levels[:count], self._strengths[:count]

    def follow(self, source: SourceHistory) -> None:
        """Hear what has come to the source since."""
        half = len(self._window) // 2
        known_end = (source.end_sample - half) // self.hop_samples + 1
        while self._end_hop < known_end:
            end = min(known_end, self._end_hop + _BLOCK_HOPS)
            self._hear(source, end)

    def _hear(self, source: SourceHistory, end_hop: int) -> None:
        count, size = end_hop - self._end_hop, len(self._window)
        first = self._end_hop * self.hop_samples - size // 2
        samples = source.read(first, (count - 1) * self.hop_samples + size).mean(axis=0)
        views = np.lib.stride_tricks.sliding_window_view(samples, size)[:: self.hop_samples]
        power = np.square(np.abs(np.fft.rfft(views * self._window, axis=1)))  # [hops, bins]
        levels = 10 * np.log10(power @ self._bands.T + 10 ** (_FLOOR_DB / 10))
        before = self._levels[-_LAG_HOPS:]
        missing = _LAG_HOPS - len(before)
        if missing:  # as loud as it begins: the beginning of what is known is no onset
            oldest = before[:1] if len(before) else levels[:1]
            before = np.concatenate([np.repeat(oldest, missing, axis=0), before])
        earlier = np.concatenate([before, levels])[: len(levels)]
        growth = np.maximum(levels - earlier - _STEADY_DB, 0.0)
        self._levels = np.concatenate([self._levels, levels])[-_KEPT_HOPS:]
        self._strengths = np.concatenate([self._strengths, growth @ self._weights])[-_KEPT_HOPS:]
        self._end_hop = end_hop
        self._first_hop = end_hop - len(self._strengths)


def _filters(rate_hz: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Triangular bands [bands, bins], evenly spaced in log frequency, and their weights [bands]."""
    edges = np.geomspace(_LOWEST_HZ, min(_HIGHEST_HZ, 0.45 * rate_hz), _BANDS + 2)
    bins_hz = np.arange(size // 2 + 1) * rate_hz / size
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bands = np.maximum(
        np.minimum((bins_hz - low) / (mid - low), (high - bins_hz) / (high - mid)), 0.0
    )
    # A band narrower than a bin hears the bin that is nearest to it.
    nearest = np.abs(bins_hz - mid).argmin(axis=1)
    bands[np.arange(_BANDS), nearest] = np.maximum(bands[np.arange(_BANDS), nearest], 1.0)
    is_low = edges[1:-1] <= _LOW_HZ
    weights = np.where(is_low, 0.5 / is_low.sum(), 0.5 / (~is_low).sum())
    lows = np.where(is_low, 1 / is_low.sum(), 0.0)
    return bands * (4.0 / size**2), np.stack([weights, lows], axis=1)
