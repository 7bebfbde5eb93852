"""Loudness and true peak of audio of any length, and files brought to a wanted loudness.

Integrated loudness is ITU-R BS.1770-4: K-weighting, blocks of 400 ms every 100 ms, gates at
-70 LUFS and 10 LU below the ungated mean. True peak is its annex 2: the peak of the signal
oversampled by four. Both are measured in blocks, so an hour takes no more memory than a minute
(loudness keeps one number for each 100 ms).
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyloudnorm import IIRfilter
from scipy.signal import lfilter

from musicgen_rt.errors import ParameterError
from musicgen_rt.offline.audio_file import (
    AudioWriter,
    Samples,
    StreamResampler,
    audio_blocks,
    audio_info,
)

SILENCE_DB = -math.inf
TARGET_LUFS_RANGE = (-70.0, 0.0)
CEILING_DBTP_RANGE = (-40.0, 0.0)

_HOPS_A_BLOCK = 4
_HOPS_A_SECOND = 10
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = 10.0
_OVERSAMPLING = 4
_GAIN_STEPS = 8  # each lets a few more quiet blocks through the gate; two or three are enough
_MAX_CHANNELS = 2


@dataclass(frozen=True)
class Loudness:
    """What was measured; `SILENCE_DB` where nothing passes the gate, or all samples are 0."""

    integrated_lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True)
class Normalisation:
    """What `normalise_file` did; `output` follows from the gain and was not measured again.

    `is_limited_by_ceiling` says that the peaks did not allow the target.
    """

    input: Loudness
    output: Loudness
    gain_db: float
    is_limited_by_ceiling: bool


class LoudnessMeter:
    """Integrated loudness of a mono or stereo signal that comes in blocks. One thread.

    Raises ParameterError for other channel counts or a rate below 4 kHz, where the weighting
    filters make no sense.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        if sample_rate_hz < 4000:
            raise ParameterError(f"sample_rate_hz is {sample_rate_hz}: expected 4000 or more")
        if not 1 <= channels <= _MAX_CHANNELS:
            raise ParameterError(f"channels is {channels}: expected 1 or 2 to measure loudness")
        self._rate_hz = sample_rate_hz
        self._filters = [(f.b, f.a) for f in _k_weighting(sample_rate_hz)]
        self._states = [np.zeros((channels, 2)) for _ in self._filters]
        self._hop_powers = array("d")  # sum of squares of each finished hop, all channels
        self._open_power = 0.0
        self._done_samples = 0

    def add(self, samples: Samples) -> None:
        """The next samples [C, N], N >= 0."""
        weighted: npt.NDArray[np.float64] = samples.astype(np.float64)
        for index, (b, a) in enumerate(self._filters):
            weighted, self._states[index] = lfilter(b, a, weighted, zi=self._states[index])
        power = np.square(weighted).sum(axis=0)  # [N]
        while len(power):
            room = self._hop_end() - self._done_samples
            self._open_power += float(power[:room].sum())
            self._done_samples += min(room, len(power))
            if room <= len(power):
                self._hop_powers.append(self._open_power)
                self._open_power = 0.0
            power = power[room:]

    def integrated_lufs(self, gain_db: float = 0.0) -> float:
        """The gated loudness so far; `SILENCE_DB` for silence or less than 400 ms.

        With `gain_db` it is that of the signal after this gain, which is not just the sum: louder,
        more of its quiet blocks pass the absolute gate.
        """
        hops = np.frombuffer(self._hop_powers, dtype=np.float64)
        if len(hops) < _HOPS_A_BLOCK:
            return SILENCE_DB
        block_samples = self._rate_hz * _HOPS_A_BLOCK / _HOPS_A_SECOND
        # Left and right both weigh 1, so their powers simply add up.
        blocks = np.convolve(hops, np.ones(_HOPS_A_BLOCK), "valid") / block_samples
        blocks *= 10 ** (gain_db / 10)
        audible = blocks[_lufs(blocks) >= _ABSOLUTE_GATE_LUFS]
        if not len(audible):
            return SILENCE_DB
        gate = float(_lufs(audible.mean())) - _RELATIVE_GATE_LU
        return float(_lufs(audible[_lufs(audible) > gate].mean()))

    def _hop_end(self) -> int:
        """The sample at which the open hop ends, rounded from its exact place."""
        return (len(self._hop_powers) + 1) * self._rate_hz // _HOPS_A_SECOND


class TruePeakMeter:
    """True peak of a signal that comes in blocks, by fourfold oversampling. One thread."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._oversampler = StreamResampler(
            sample_rate_hz, sample_rate_hz * _OVERSAMPLING, channels
        )
        self._peak = 0.0

    def add(self, samples: Samples) -> None:
        """The next samples [C, N], N >= 0."""
        self._hear(samples)
        self._hear(self._oversampler.process(samples))

    def finish(self) -> float:
        """The true peak in dBTP of all samples, `SILENCE_DB` for silence. Ends the signal."""
        self._hear(self._oversampler.finish())
        return 20 * math.log10(self._peak) if self._peak > 0 else SILENCE_DB

    def _hear(self, samples: Samples) -> None:
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))


def measure_file(path: str | Path) -> Loudness:
    """Loudness and true peak of an audio file of one or two channels, in flat memory.

    Raises AudioFileError for a file that cannot be read, ParameterError for more channels.
    """
    meter, peak_dbtp = _metered(path)
    return Loudness(meter.integrated_lufs(), peak_dbtp)


def normalise_file(
    in_path: str | Path,
    out_path: str | Path,
    target_lufs: float,
    ceiling_dbtp: float = -1.0,
) -> Normalisation:
    """Writes the file at the target loudness, or quieter where its peaks would pass the ceiling.

    One gain for all of it; nothing is limited or compressed. Silence is copied as it is. Rate and
    channels stay, the encoding is the writer's default for the suffix of `out_path`, which may be
    `in_path`.

    Raises ParameterError for a target outside -70 to 0 LUFS or a ceiling outside -40 to 0 dBTP,
    and AudioFileError where a file cannot be read or written.
    """
    _check_range("target_lufs", target_lufs, TARGET_LUFS_RANGE)
    _check_range("ceiling_dbtp", ceiling_dbtp, CEILING_DBTP_RANGE)
    meter, peak_dbtp = _metered(in_path)
    wanted_db = _gain_to(target_lufs, meter)
    gain_db = min(wanted_db, ceiling_dbtp - peak_dbtp)
    info = audio_info(in_path)
    factor = np.float32(10 ** (gain_db / 20))
    with AudioWriter(
        out_path, info.sample_rate_hz, info.channels, expected_samples=info.num_samples
    ) as writer:
        for block in audio_blocks(in_path):
            writer.write(block * factor)
    return Normalisation(
        input=Loudness(meter.integrated_lufs(), peak_dbtp),
        output=Loudness(meter.integrated_lufs(gain_db), peak_dbtp + gain_db),
        gain_db=gain_db,
        is_limited_by_ceiling=gain_db < wanted_db,
    )


def _metered(path: str | Path) -> tuple[LoudnessMeter, float]:
    """The loudness meter that has heard all of a file, and the file's true peak in dBTP."""
    info = audio_info(path)
    loudness = LoudnessMeter(info.sample_rate_hz, info.channels)
    peak = TruePeakMeter(info.sample_rate_hz, info.channels)
    for block in audio_blocks(path):
        loudness.add(block)
        peak.add(block)
    return loudness, peak.finish()


def _gain_to(target_lufs: float, meter: LoudnessMeter) -> float:
    """The gain in dB that brings what the meter heard to the target; 0 for silence."""
    gain_db = 0.0
    for _ in range(_GAIN_STEPS):
        loudness = meter.integrated_lufs(gain_db)
        if loudness == SILENCE_DB:
            return gain_db
        gain_db += target_lufs - loudness
    return gain_db


def _k_weighting(sample_rate_hz: int) -> tuple[IIRfilter, IIRfilter]:
    """The two filters of BS.1770 as pyloudnorm designs them.

    Within 0.05 dB of the standard's response at 24 kHz and above, 0.25 dB at 8 kHz.
    """
    return (
        IIRfilter(4.0, math.sqrt(0.5), 1500.0, sample_rate_hz, "high_shelf"),
        IIRfilter(0.0, 0.5, 38.0, sample_rate_hz, "high_pass"),
    )


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Mean square of the weighted signal, summed over channels -> LUFS."""
    with np.errstate(divide="ignore"):
        return -0.691 + 10 * np.log10(np.asarray(power, dtype=np.float64))


def _check_range(name: str, value: float, allowed: tuple[float, float]) -> None:
    low, high = allowed
    if not low <= value <= high:
        raise ParameterError(f"{name} is {value}: expected {low:g} to {high:g}")
