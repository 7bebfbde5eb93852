"""A folder of audio that is to be compared: found, checked before any work, read clip by clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.audio_input import AudioInfo, audio_blocks, audio_info, read_audio
from musicgen_rt.errors import AudioFileError, ParameterError

Samples = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
MIN_CLIPS = 2
MAX_CLIP_SECONDS = 3600.0
RATE_RANGE_HZ = (8_000, 192_000)
# -80 dBFS: below it is dither, not music.
_SILENCE_PEAK = 1e-4
_MOST_NAMED = 3


@dataclass(frozen=True)
class Clip:
    """One file: where it lies, its name within the set without suffix, its mono samples [N]."""

    path: Path
    name: str
    samples: Samples
    rate_hz: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class AudioSet:
    """The audio files of a folder, in order of their names, all read at `rate_hz` as mono."""

    folder: Path
    paths: tuple[Path, ...]
    rate_hz: int
    seconds: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names by which clips of two sets are paired: paths in the folder without suffix."""
        return tuple(self._name(path) for path in self.paths)

    def clips(self) -> Iterator[Clip]:
        """The clips one after the other; only one is held."""
        for path in self.paths:
            yield self._clip(path)

    def clip(self, name: str) -> Clip:
        """The clip of that name. Raises KeyError."""
        return self._clip(dict(zip(self.names, self.paths, strict=True))[name])

    def _clip(self, path: Path) -> Clip:
        samples = read_audio(path, self.rate_hz, 1, max_seconds=MAX_CLIP_SECONDS)
        return Clip(path, self._name(path), samples[0], self.rate_hz)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).with_suffix("").as_posix()


def audio_set(
    folder: Path, rate_hz: int | None = None, *, shortest_seconds: float = 0.0
) -> AudioSet:
    """The audio in a folder and below it, checked whole.

    `rate_hz` is the rate to bring all files to; None takes the files' own, which must be one.
    Raises ParameterError for a folder that is none, fewer than `MIN_CLIPS` clips, two files of one
    name, mixed rates, clips shorter than `shortest_seconds` and silent ones; AudioFileError for
    files that are damaged or hold NaN.
    """
    _check_rate(rate_hz)
    if not folder.is_dir():
        raise ParameterError(f"{folder} is not a folder: expected one with audio files")
    found = folder.rglob("*")
    paths = tuple(sorted(p for p in found if p.suffix.lower() in SUFFIXES and p.is_file()))
    if len(paths) < MIN_CLIPS:
        raise ParameterError(
            f"{folder} has {len(paths)} audio files: expected {MIN_CLIPS} or more, as a set has no "
            f"spread otherwise; known are {', '.join(SUFFIXES)}"
        )
    infos = {path: audio_info(path) for path in paths}
    own_hz = _one_rate(folder, infos) if rate_hz is None else rate_hz
    seconds = sum(_checked_seconds(path, infos[path], shortest_seconds) for path in paths)
    made = AudioSet(folder, paths, own_hz, seconds)
    twice = {name for name in made.names if made.names.count(name) > 1}
    if twice:
        raise ParameterError(f"{folder} has {min(twice)} in two formats: expected one file a name")
    return made


def check_comparable(reference: AudioSet, generated: AudioSet) -> None:
    """Raise ParameterError for sets of different rates or of the same folder.

    What lies above half the lower rate is missing from one set only, and would be taken for a
    difference of the music.
    """
    if reference.folder.resolve() == generated.folder.resolve():
        raise ParameterError(f"{reference.folder} is given twice: expected two folders")
    if reference.rate_hz != generated.rate_hz:
        raise ParameterError(
            f"the reference is at {reference.rate_hz} Hz and the other set at "
            f"{generated.rate_hz} Hz: expected one rate; --rate "
            f"{min(reference.rate_hz, generated.rate_hz)} brings both to the lower one"
        )


def _check_rate(rate_hz: int | None) -> None:
    low, high = RATE_RANGE_HZ
    if rate_hz is not None and not low <= rate_hz <= high:
        raise ParameterError(f"the rate is {rate_hz} Hz: expected {low} to {high}")


def _one_rate(folder: Path, infos: dict[Path, AudioInfo]) -> int:
    by_rate: dict[int, list[str]] = {}
    for path, info in infos.items():
        by_rate.setdefault(info.sample_rate_hz, []).append(path.name)
    if len(by_rate) > 1:
        said = "; ".join(
            f"{rate_hz} Hz: {', '.join(names[:_MOST_NAMED])}" for rate_hz, names in by_rate.items()
        )
        raise ParameterError(
            f"{folder} mixes rates ({said}): expected one; --rate {min(by_rate)} brings all to "
            "the lowest"
        )
    (rate_hz,) = by_rate
    _check_rate(rate_hz)
    return rate_hz


def _checked_seconds(path: Path, info: AudioInfo, shortest_seconds: float) -> float:
    """The length of a file that is finite, not silent and long enough."""
    peak, num_samples = 0.0, 0
    for block in audio_blocks(path):
        peak = max(peak, float(np.abs(block.mean(axis=0)).max()))
        num_samples += block.shape[1]
    seconds = num_samples / info.sample_rate_hz
    if peak < _SILENCE_PEAK:
        raise AudioFileError(
            f"{path} is silent (peak below -80 dBFS as mono): expected music; remove it, or count "
            "it as a failure of what made it"
        )
    if seconds < shortest_seconds:
        raise AudioFileError(
            f"{path} lasts {seconds:.2f} s: expected {shortest_seconds:g} s or more, which is what "
            "the embedding hears at once"
        )
    if seconds > MAX_CLIP_SECONDS:
        raise AudioFileError(
            f"{path} lasts {seconds:.0f} s: expected at most {MAX_CLIP_SECONDS:g} s; cut it"
        )
    return seconds
