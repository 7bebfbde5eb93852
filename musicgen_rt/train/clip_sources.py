"""Where clips to encode come from: the music generator, or a folder of audio with captions.

What is known of a file of audio lies beside it, see `clip_annotations`. Where nobody says it, beats
and melody may be tracked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_rt.audio_input import Samples, audio_info, read_audio
from musicgen_rt.errors import ParameterError
from musicgen_rt.model.chroma import ChromaExtractor
from musicgen_rt.train.beat_tracking import track_grid
from musicgen_rt.train.clip_annotations import Annotations, LeadNote, read_annotations
from musicgen_rt.train.lm_records import NO_TEMPO, REST, ROLES, FrameTruth, StatedCaption
from musicgen_rt.train.music import captions, frame_labels, generate_clip
from musicgen_rt.train.music.caption_facts import fact_sheet
from musicgen_rt.train.music.frames import phase_of_turns
from musicgen_rt.train.music.truth import Truth

_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
_SHORTEST_SECONDS = 0.5
# Captions that are made for a generated clip which has none beside it.
_OWN_CAPTIONS = 8


@dataclass(frozen=True)
class Tracked:
    """What is listened for where nobody says it."""

    beats: bool = False
    melody: bool = False


@dataclass(frozen=True)
class SourceClip:
    """Samples [C, N], captions, and what is known: the generator's truth, or annotations."""

    name: str
    samples: Samples
    rate_hz: int
    captions: tuple[StatedCaption, ...]
    facts: dict[str, Any]
    known: Annotations
    start_seconds: float = 0.0

    def frame_truth(self, frames: int, frame_rate_hz: float, tracked: Tracked) -> FrameTruth:
        """What is known of each of the clip's codec frames."""
        if self.known.truth is not None:
            return _from_generator(self.known.truth, frames, frame_rate_hz, self.start_seconds)
        # As the engine's clock sees it: at the start of the frame.
        times = self.start_seconds + np.arange(frames) / frame_rate_hz
        roles = FrameTruth.unknown(frames).roles
        for row, role in zip(roles, ROLES, strict=True):
            row[:] = self.known.facts.get(role, row)
        truth = replace(
            FrameTruth.unknown(frames), roles=roles, pitch_class=self._melody(times, tracked)
        )
        return self._clocked(truth, times, tracked)

    def _melody(self, times: npt.NDArray[np.float64], tracked: Tracked) -> npt.NDArray[np.uint8]:
        """The pitch class that sounds at times [T]."""
        if self.known.lead_notes is not None:
            return _note_classes(self.known.lead_notes, times)
        if tracked.melody:
            return _heard_classes(self.samples, self.rate_hz, times - self.start_seconds)
        return FrameTruth.unknown(len(times)).pitch_class

    def _clocked(
        self, truth: FrameTruth, times: npt.NDArray[np.float64], tracked: Tracked
    ) -> FrameTruth:
        """The truth with the clock of times [T], as far as the beats are known."""
        grid = self.known.grid
        if grid is None and tracked.beats:
            grid = track_grid(self.samples.mean(0), self.rate_hz, self.start_seconds)
        if grid is None:
            return truth
        beats = grid.beats(times)
        is_inside = (times >= grid.edges_seconds[0]) & (times <= grid.edges_seconds[-1])
        return replace(
            truth,
            bar_phase=phase_of_turns(beats / grid.beats_per_bar),
            beat_phase=phase_of_turns(beats),
            bpm=np.where(is_inside, grid.bpm(times), NO_TEMPO).astype(np.float32),
            beats_per_bar=np.full(len(times), grid.beats_per_bar, np.uint8),
        )


def generated(
    seed: int, seconds: float, rate_hz: int, num_captions: int, *, held_out: bool
) -> SourceClip:
    """The generator's clip of a seed; `held_out` gives captions in wordings kept for evaluation."""
    clip = generate_clip(seed, seconds, rate_hz)
    texts = captions(clip.truth, seed, num_captions, held_out)
    stated = tuple(StatedCaption(caption.text, dict(caption.facts)) for caption in texts)
    facts = dict(fact_sheet(clip.truth))
    known = Annotations(truth=clip.truth)
    return SourceClip(str(seed), clip.samples[None], rate_hz, stated, facts, known)


def audio_pieces(folder: Path, piece_seconds: float) -> list[tuple[Path, float]]:
    """The audio files of a folder, cut: (file, start in seconds), in order of names.

    A rest that is shorter than half a piece is left out, unless it is all there is. Hidden files
    are passed over. Raises AudioFileError, and ParameterError for a file that is too short.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )
    if not files:
        raise ParameterError(f"{folder}: no audio files; expected {', '.join(_SUFFIXES)}")
    pieces = []
    for path in files:
        info = audio_info(path)
        seconds = info.num_samples / info.sample_rate_hz
        if seconds < _SHORTEST_SECONDS:
            raise ParameterError(
                f"{path} lasts {seconds:.3f} s; expected {_SHORTEST_SECONDS} s or more: remove it"
            )
        count = max(1, round(seconds / piece_seconds))
        pieces += [(path, index * piece_seconds) for index in range(count)]
    return pieces


def piece_name(path: Path, start_seconds: float) -> str:
    """What a piece of an audio file is called."""
    return f"{path.name}@{start_seconds:g}"


def read_piece(
    path: Path, start_seconds: float, seconds: float, rate_hz: int, channels: int
) -> SourceClip:
    """A piece of an audio file with the files beside it. Raises AudioFileError, ParameterError."""
    whole = _whole(path, rate_hz, channels)
    first = round(start_seconds * rate_hz)
    samples = whole[:, first : first + round(seconds * rate_hz)]
    known = read_annotations(path)
    facts = known.facts if known.truth is None else dict(fact_sheet(known.truth))
    stated = tuple(StatedCaption(text, {}) for text in known.captions)
    if not stated and known.truth is not None:
        made = captions(known.truth, 0, _OWN_CAPTIONS)
        stated = tuple(StatedCaption(c.text, dict(c.facts)) for c in made)
    name = piece_name(path, start_seconds)
    return SourceClip(name, samples, rate_hz, stated, facts, known, start_seconds)


@lru_cache(maxsize=1)
def _whole(path: Path, rate_hz: int, channels: int) -> Samples:
    """A file, read once for all of its pieces."""
    return read_audio(path, rate_hz, channels)


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


def _note_classes(
    notes: tuple[LeadNote, ...], times: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """The pitch class of the note that sounds at times [T], or `REST`."""
    classes = np.full(len(times), REST, np.uint8)
    for note in notes:
        sounding = (times >= note.start_seconds) & (times < note.end_seconds)
        classes[sounding] = note.pitch % 12
    return classes


def _heard_classes(
    samples: Samples, rate_hz: int, times: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """The strongest pitch class at times [T] in samples [C, N], or `REST` in silence.

    As the engine hears a melody that is given as audio; drums and bass are best taken out before.
    """
    extractor = ChromaExtractor()
    heard = extractor.pitch_classes(samples.mean(axis=0), rate_hz).numpy()
    nearest = np.round(times / extractor.parameters.hop_seconds).astype(np.int64)
    return heard[np.minimum(nearest, len(heard) - 1)].astype(np.uint8)
