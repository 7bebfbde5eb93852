"""Where clips to encode come from: the music generator, or a folder of audio with captions.

Beside `song.wav` (any format that libsndfile reads) a folder may hold `song.txt`, a caption a line,
and `song.json` with what is known: `captions`, `beats` and `downbeats` in seconds, `lead_notes`
(`start_seconds`, `end_seconds`, `pitch`), and facts such as `bpm`, `style`, `key`, `drums`. The
JSON files that the generator exports are such files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_rt.audio_input import Samples, audio_info, read_audio
from musicgen_rt.errors import ParameterError
from musicgen_rt.train.beat_tracking import track_grid
from musicgen_rt.train.lm_records import NO_TEMPO, REST, ROLES, FrameTruth, StatedCaption
from musicgen_rt.train.music import captions, frame_labels, generate_clip
from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.caption_facts import fact_sheet
from musicgen_rt.train.music.truth import Truth, truth_from_json

_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
_FACTS = ("style", "key", "bpm", *ROLES)
_DEFAULT_BEATS_PER_BAR = 4


@dataclass(frozen=True)
class SourceClip:
    """Samples [C, N], captions, and what is known: the generator's truth, or annotations."""

    name: str
    samples: Samples
    rate_hz: int
    captions: tuple[StatedCaption, ...]
    facts: dict[str, Any]
    truth: Truth | None
    annotations: dict[str, Any]
    start_seconds: float = 0.0

    def frame_truth(self, frames: int, frame_rate_hz: float, *, tracks_beats: bool) -> FrameTruth:
        """What is known of each of the clip's codec frames."""
        if self.truth is not None:
            return _from_generator(self.truth, frames, frame_rate_hz, self.start_seconds)
        return _from_annotations(self, frames, frame_rate_hz, tracks_beats)


def generated(
    seed: int, seconds: float, rate_hz: int, num_captions: int, *, held_out: bool
) -> SourceClip:
    """The generator's clip of a seed; `held_out` gives captions in wordings kept for evaluation."""
    clip = generate_clip(seed, seconds, rate_hz)
    texts = captions(clip.truth, seed, num_captions, held_out)
    stated = tuple(StatedCaption(caption.text, dict(caption.facts)) for caption in texts)
    facts = dict(fact_sheet(clip.truth))
    return SourceClip(str(seed), clip.samples[None], rate_hz, stated, facts, clip.truth, {})


def audio_pieces(folder: Path, piece_seconds: float) -> list[tuple[Path, float]]:
    """The audio files of a folder, cut: (file, start in seconds), in order of names.

    A rest that is shorter than half a piece is left out, unless it is all there is.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise ParameterError(f"{folder}: no audio files; expected {', '.join(_SUFFIXES)}")
    pieces = []
    for path in files:
        info = audio_info(path)
        count = max(1, round(info.num_samples / info.sample_rate_hz / piece_seconds))
        pieces += [(path, index * piece_seconds) for index in range(count)]
    return pieces


def read_piece(
    path: Path, start_seconds: float, seconds: float, rate_hz: int, channels: int
) -> SourceClip:
    """A piece of an audio file with the files beside it. Raises AudioFileError, ParameterError."""
    whole = read_audio(path, rate_hz, channels)
    first = round(start_seconds * rate_hz)
    samples = whole[:, first : first + round(seconds * rate_hz)]
    annotations, truth = _read_annotations(path.with_suffix(".json"))
    facts = {name: annotations[name] for name in _FACTS if name in annotations}
    if truth is not None:
        facts = dict(fact_sheet(truth))
    texts = [*_lines(path.with_suffix(".txt")), *annotations.get("captions", [])]
    if not texts and truth is not None:
        stated = tuple(StatedCaption(c.text, dict(c.facts)) for c in captions(truth, 0, 8))
    else:
        stated = tuple(StatedCaption(str(text), {}) for text in texts)
    name = f"{path.name}@{start_seconds:g}"
    return SourceClip(name, samples, rate_hz, stated, facts, truth, annotations, start_seconds)


def _read_annotations(path: Path) -> tuple[dict[str, Any], Truth | None]:
    """What a JSON file says, and the generator's truth if it is one."""
    if not path.is_file():
        return {}, None
    text = path.read_text(encoding="utf-8")
    try:
        table = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"{path} is not JSON ({error}): mend or remove it") from error
    if not isinstance(table, dict):
        raise ParameterError(f"{path} holds a {type(table).__name__}, expected an object")
    if "grid" in table:
        return {}, truth_from_json(text)
    return table, None


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _from_generator(
    truth: Truth, frames: int, frame_rate_hz: float, start_seconds: float
) -> FrameTruth:
    labels = frame_labels(truth, frames, start_seconds, frame_rate_hz)
    return FrameTruth(
        labels.bar_phase,
        labels.beat_phase,
        labels.bpm,
        labels.beats_per_bar.astype(np.uint8),
        labels.lead_pitch_class.astype(np.uint8),
        np.stack([getattr(labels, role) for role in ROLES]).astype(np.uint8),
    )


def _from_annotations(
    clip: SourceClip, frames: int, frame_rate_hz: float, tracks_beats: bool
) -> FrameTruth:
    unknown = FrameTruth.unknown(frames)
    # As the engine's clock sees it: at the start of the frame.
    times = clip.start_seconds + np.arange(frames) / frame_rate_hz
    grid = _grid(clip.annotations)
    if grid is None and tracks_beats:
        grid = track_grid(clip.samples.mean(0), clip.rate_hz, clip.start_seconds)
    pitch_class = unknown.pitch_class
    if "lead_notes" in clip.annotations:
        pitch_class = _pitch_classes(clip.annotations["lead_notes"], times)
    roles = unknown.roles
    for row, role in zip(roles, ROLES, strict=True):
        if isinstance(clip.annotations.get(role), bool):
            row[:] = clip.annotations[role]
    if grid is None:
        return FrameTruth(**{**vars(unknown), "pitch_class": pitch_class, "roles": roles})
    beats = grid.beats(times)
    known = (times >= grid.edges_seconds[0]) & (times <= grid.edges_seconds[-1])
    return FrameTruth(
        np.mod(beats / grid.beats_per_bar, 1.0).astype(np.float32),
        np.mod(beats, 1.0).astype(np.float32),
        np.where(known, grid.bpm(times), NO_TEMPO).astype(np.float32),
        np.full(frames, grid.beats_per_bar, np.uint8),
        pitch_class,
        roles,
    )


def _grid(annotations: dict[str, Any]) -> BeatGrid | None:
    """The beats from the first downbeat on; None without two beats from there."""
    beats: Sequence[float] = sorted(annotations.get("beats", []))
    downbeats: Sequence[float] = sorted(annotations.get("downbeats", []))
    first = next((i for i, beat in enumerate(beats) if downbeats and beat >= downbeats[0]), 0)
    if len(beats) - first < 2 or not downbeats:
        return None
    per_bar = annotations.get("beats_per_bar")
    if per_bar is None and len(downbeats) > 1:
        per_bar = sum(downbeats[0] <= beat < downbeats[1] for beat in beats)
    return BeatGrid(tuple(beats[first:]), int(per_bar or _DEFAULT_BEATS_PER_BAR))


def _pitch_classes(
    notes: Sequence[dict[str, Any]], times: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    classes = np.full(len(times), REST, np.uint8)
    for note in notes:
        sounding = (times >= note["start_seconds"]) & (times < note["end_seconds"])
        classes[sounding] = int(note["pitch"]) % 12
    return classes
