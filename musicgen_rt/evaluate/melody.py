"""The measure of played melodies: phrases on a keyboard, followed and looped, and what is heard.

The strongest pitch class of librosa's chroma at each frame is compared with the note that was held
there; in a loop, with the note that was played so many bars before. The same music compared with
the next phrase's notes says what chance gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.melody_venue import PROMPT, Stage, Venue
from musicgen_rt.evaluate.pocket_melody import REST, melody_agreement

AGREEMENT_BOUND = 0.60
DEFAULT_PHRASES = 20
PHRASES_RANGE = (2, 200)

_BEATS_PER_BAR = 4
_FOLLOWED_BARS, _LOOP_BARS, _LOOPED_BARS = 4, 2, 4
_LENGTHS_BEATS = (0.5, 1.0, 1.0, 1.5, 2.0)
_HELD_PART = 0.9
_SCALE = (0, 2, 4, 5, 7, 9, 11)
_BPM_RANGE = (90.0, 130.0)
_FFT_SAMPLES = 8192
# A note's beginning still sounds of the one before it.
_ONSET_SECONDS = 0.03

Classes = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PhraseNote:
    """A note of a phrase, in beats since its beginning."""

    pitch: int
    velocity: int
    start_beats: float
    end_beats: float


@dataclass(frozen=True)
class Phrase:
    """What is played: its notes fill whole bars."""

    bpm: float
    notes: tuple[PhraseNote, ...]
    bars: int

    def within(self, bars: int) -> tuple[PhraseNote, ...]:
        """The notes of the first bars."""
        return tuple(note for note in self.notes if note.end_beats <= bars * _BEATS_PER_BAR)


@dataclass(frozen=True)
class PlayedPhrase:
    """Pitch classes asked for and heard at each frame [T], of what was followed and looped."""

    phrase: Phrase
    followed: tuple[Classes, Classes]
    looped: tuple[Classes, Classes]
    samples: NDArray[np.float32]
    rate_hz: int

    @property
    def beats_seconds(self) -> list[float]:
        """When its samples have beats: they begin on a bar line."""
        beats = int(len(self.samples) / self.rate_hz * self.phrase.bpm / 60)
        return [beat * 60 / self.phrase.bpm for beat in range(beats + 1)]

    @property
    def bars_seconds(self) -> list[float]:
        """When its samples have bar lines."""
        return self.beats_seconds[::_BEATS_PER_BAR]


def random_phrase(seed: int, index: int) -> Phrase:
    """A phrase in a key of its own, in steps and small leaps; the same for the same arguments."""
    rng = np.random.default_rng([seed, index])
    root, place = int(rng.integers(12)), int(rng.integers(7, 14))
    beat, notes = 0.0, []
    while beat < _FOLLOWED_BARS * _BEATS_PER_BAR:
        bar_left = _BEATS_PER_BAR - beat % _BEATS_PER_BAR
        length = min(float(rng.choice(_LENGTHS_BEATS)), bar_left)
        octave, degree = divmod(place, 7)
        pitch = 48 + root + 12 * octave + _SCALE[degree]
        velocity = int(rng.integers(70, 120))
        notes.append(PhraseNote(pitch, velocity, beat, beat + _HELD_PART * length))
        place = min(max(place + int(rng.choice((-3, -2, -1, 1, 2, 3))), 3), 17)
        beat += length
    return Phrase(round(float(rng.uniform(*_BPM_RANGE))), tuple(notes), _FOLLOWED_BARS)


def play_phrase(stage: Stage, phrase: Phrase) -> PlayedPhrase:
    """A phrase on a stage at its tempo: followed once, then captured as a loop and repeated.

    Raises MusicgenRTError for what the stage refuses.
    """
    first_bar = 1
    stage.until(stage.timeline.bar_start_frame(first_bar) - 8)
    stage.send("melody/mode", "follow")
    followed_asked = _keys(stage, phrase.notes, first_bar)
    # The loop begins after a bar in between.
    loop_bar = first_bar + phrase.bars + 1
    stage.until(stage.timeline.bar_start_frame(loop_bar) - 8)
    stage.send("melody/mode", "off")
    stage.send("melody/loop_bars", _LOOP_BARS)
    stage.send("melody/mode", "loop")
    _keys(stage, phrase.within(_LOOP_BARS), loop_bar)
    repeated_bar = loop_bar + _LOOP_BARS
    end_bar = repeated_bar + _LOOPED_BARS
    stage.until(stage.timeline.bar_start_frame(end_bar))
    heard = _heard(stage)
    looped_asked = _repeated(stage, phrase.within(_LOOP_BARS), repeated_bar, end_bar)
    return PlayedPhrase(
        phrase,
        (followed_asked, heard[: len(followed_asked)]),
        (looped_asked, heard[: len(looped_asked)]),
        stage.heard(),
        stage.rate_hz,
    )


def evaluate_melody(
    venue: Venue, phrases: int, seed: int, progress: Progress
) -> tuple[dict[str, Any], list[PlayedPhrase]]:
    """The report of what is heard at a venue, for `json.dumps`, and what it is of.

    Raises ParameterError for a number of phrases out of range, MusicgenRTError for what the venue
    refuses.
    """
    fewest, most = PHRASES_RANGE
    if not fewest <= phrases <= most:
        raise ParameterError(f"phrases is {phrases}: expected {fewest} to {most}")
    played, faults = [], [venue.faults()]
    for index in range(phrases):
        progress("phrases", index, phrases)
        phrase = random_phrase(seed, index)
        played.append(play_phrase(venue.stage(phrase.bpm, seed + index), phrase))
        faults.append(venue.faults())
    report: dict[str, Any] = {
        "model": venue.source,
        "through": venue.through,
        "prompt": PROMPT,
        "phrases": phrases,
        "seed": seed,
        "agreement_bound": AGREEMENT_BOUND,
    }
    for name in faults[0]:
        report[name] = [after[name] - before[name] for before, after in pairwise(faults)]
    for name in ("followed", "looped"):
        pairs = [getattr(one, name) for one in played]
        others = [*pairs[1:], pairs[0]]
        right = [_share(heard, asked) for asked, heard in pairs]
        shuffled = [
            _share(heard, other) for (_, heard), (other, _) in zip(pairs, others, strict=True)
        ]
        report[name] = {
            "agreement": round(float(np.mean(right)), 3),
            "shuffled": round(float(np.mean(shuffled)), 3),
            "each": [round(share, 3) for share in right],
            "is_within_bound": bool(np.mean(right) >= AGREEMENT_BOUND),
        }
    return report, played


def table(report: dict[str, Any]) -> str:
    """A report as lines of text."""
    lines = [f"{report['model']}, {report['phrases']} phrases: frames on the played pitch class"]
    for name in ("followed", "looped"):
        one = report[name]
        lines.append(
            f"{name:<10}{one['agreement']:.2f}   of another phrase {one['shuffled']:.2f}   "
            f"asked for {AGREEMENT_BOUND:.2f}"
        )
    return "\n".join(lines)


def _keys(stage: Stage, notes: tuple[PhraseNote, ...], first_bar: int) -> Classes:
    """Play notes from a bar on; the pitch class asked for at each frame since frame 0 [T]."""
    origin = stage.timeline.bar_line_at(first_bar)
    begin_beat = stage.timeline.beat_at(origin)
    classes = np.full(0, REST, dtype=np.int64)
    for note in notes:
        stage.until(round(stage.timeline.frame_at(begin_beat + note.start_beats)))
        on_frame = stage.send("melody/note_on", note.pitch, note.velocity)
        stage.until(round(stage.timeline.frame_at(begin_beat + note.end_beats)))
        off_frame = stage.send("melody/note_off", note.pitch)
        classes = _with_note(classes, stage, note.pitch, on_frame, off_frame)
    stage.until(len(classes))
    return classes


def _repeated(stage: Stage, notes: tuple[PhraseNote, ...], first_bar: int, end_bar: int) -> Classes:
    """The pitch class that a loop asks for at each frame since frame 0, up to a bar [T]."""
    classes = np.full(0, REST, dtype=np.int64)
    for bar in range(first_bar, end_bar, _LOOP_BARS):
        begin_beat = stage.timeline.beat_at(stage.timeline.bar_line_at(bar))
        for note in notes:
            on, off = (
                round(stage.timeline.frame_at(begin_beat + beats))
                for beats in (note.start_beats, note.end_beats)
            )
            classes = _with_note(classes, stage, note.pitch, on, off)
    return classes


def _with_note(classes: Classes, stage: Stage, pitch: int, on: int, off: int) -> Classes:
    skipped = round(_ONSET_SECONDS * float(stage.timeline.frame_rate_hz))
    grown = np.full(max(off, len(classes)), REST, dtype=np.int64)
    grown[: len(classes)] = classes
    grown[on + skipped : off] = pitch % 12
    return grown


def _heard(stage: Stage) -> Classes:
    """The strongest pitch class at each frame [T]."""
    chroma = librosa.feature.chroma_stft(
        y=stage.heard(),
        sr=stage.rate_hz,
        n_fft=_FFT_SAMPLES,
        hop_length=round(stage.rate_hz / float(stage.timeline.frame_rate_hz)),
        tuning=0.0,
    )
    classes: Classes = chroma.argmax(axis=0)
    return classes


def _share(heard: Classes, asked: Classes) -> float:
    agreeing, sounding = melody_agreement(heard, asked)
    return agreeing / sounding if sounding else 0.0
