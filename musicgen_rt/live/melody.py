"""A melody that an engine slices: chroma for melody checkpoints, classes for frame conditioners.

Frames count from the melody's own beginning; an engine subtracts the frame at which it started the
melody. A melody is a value: any thread may read it, and a change makes another one.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.chroma import (
    REST_CLASS,
    ChromaParameters,
    RestPolicy,
    notes_to_chroma,
    notes_to_frame_classes,
    one_hot_classes,
)
from musicgen_rt.model.notes import Line, Note, reduce_polyphony

# From a beat of the fastest tempo to the longest file at the slowest.
LOOP_SECONDS_RANGE = (0.05, 4 * 3600.0)
MIN_NOTE_SECONDS = 0.001

# Moments this close before an edge count as on it, so that the last bits of a float, which depend
# on where a window starts, do not decide what is heard.
_FORGIVEN_SECONDS = 1e-6

_PUBLISHED = ChromaParameters()


@dataclass(frozen=True)
class Melody(ABC):
    """A pitch class for each moment from 0 to `length_seconds`, once or in a loop.

    With `loop_seconds` the first so many seconds repeat for ever, in both directions; a loop
    longer than the melody ends in a rest. With None it is played once; before and after it is the
    null melody. Within it `rest` says what becomes of rests in chroma: "hold" or "null".

    Raises ParameterError for a length or a loop that is out of range.
    """

    length_seconds: float
    loop_seconds: float | None
    rest: RestPolicy

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length_seconds) and self.length_seconds > 0):
            raise ParameterError(
                f"the melody lasts {self.length_seconds} s: expected more than 0 and finite"
            )
        shortest, longest = LOOP_SECONDS_RANGE
        if self.loop_seconds is not None and not shortest <= self.loop_seconds <= longest:
            raise ParameterError(
                f"the loop lasts {self.loop_seconds} s: expected {shortest:g} to {longest:g} s, "
                "or None to play once"
            )
        if self.rest not in get_args(RestPolicy):
            raise ParameterError(f"the rest policy is {self.rest!r}: expected hold or null")

    @abstractmethod
    def chroma_window(
        self,
        start_frame: int,
        num_rows: int,
        *,
        frame_rate_hz: float = 50.0,
        parameters: ChromaParameters = _PUBLISHED,
    ) -> Tensor:
        """The chroma prefix of a window whose first codec frame is `start_frame`.

        Row i is centred i hops after that frame's beginning: one-hot float32 [num_rows, 12].
        """

    @abstractmethod
    def frame_classes(
        self, start_frame: int, num_frames: int, *, frame_rate_hz: float = 50.0
    ) -> Tensor:
        """The pitch class at the centre of each codec frame, `REST_CLASS` for none: int64 [T]."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The melody as a value for `json.dumps`."""

    def looped(self, loop_seconds: float | None) -> Self:
        """The same melody with another loop. Raises ParameterError if that is out of range."""
        return replace(self, loop_seconds=loop_seconds)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Melody:
        """The inverse of `to_json` of either kind of melody.

        Raises ParameterError for a value that `to_json` did not make.
        """
        try:
            common = (value["length_seconds"], value["loop_seconds"], value["rest"])
            if value["kind"] == "notes":
                return NoteMelody(*common, tuple(Note(*row) for row in value["notes"]))
            if value["kind"] == "audio":
                return AudioMelody(*common, tuple(value["classes"]), value["hop_seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(
                f"not a melody ({error}): expected the value that Melody.to_json makes"
            ) from error
        raise ParameterError(f"the kind of melody is {value['kind']!r}: expected notes or audio")

    def _common_json(self, kind: Literal["notes", "audio"]) -> dict[str, Any]:
        return {
            "kind": kind,
            "length_seconds": self.length_seconds,
            "loop_seconds": self.loop_seconds,
            "rest": self.rest,
        }

    def _outside(self, seconds: Tensor) -> Tensor:
        """Which of these moments are before or after a melody that is played once: bool [T]."""
        if self.loop_seconds is not None:
            return torch.zeros_like(seconds, dtype=torch.bool)
        forgiven = seconds + _FORGIVEN_SECONDS
        return (forgiven < 0) | (forgiven >= self.length_seconds)


@dataclass(frozen=True)
class NoteMelody(Melody):
    """A melody of notes, one at a time, in order of time. Make it with `melody_from_notes`."""

    notes: tuple[Note, ...]

    def __hash__(self) -> int:
        # Melodies are keys of caches that are asked for every frame: hashing all notes is slow.
        return hash((self.length_seconds, self.loop_seconds, len(self.notes), self.notes[0]))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.notes:
            raise ParameterError("the melody has no notes: expected one or more")
        if self.notes[0].start_seconds < 0 or self.notes[-1].end_seconds > self.length_seconds:
            raise ParameterError(
                f"notes reach beyond the melody's {self.length_seconds} s: expected them within"
            )
        if any(note.end_seconds - note.start_seconds < MIN_NOTE_SECONDS for note in self.notes):
            raise ParameterError(f"a note is shorter than {MIN_NOTE_SECONDS} s: leave it out")
        for one, two in itertools.pairwise(self.notes):
            if two.start_seconds < one.end_seconds:
                raise ParameterError(
                    f"the notes at {one.start_seconds} s and {two.start_seconds} s overlap: "
                    "expected one at a time and in order; reduce_polyphony makes them so"
                )

    def chroma_window(
        self,
        start_frame: int,
        num_rows: int,
        *,
        frame_rate_hz: float = 50.0,
        parameters: ChromaParameters = _PUBLISHED,
    ) -> Tensor:
        """See `Melody.chroma_window`."""
        start_seconds = start_frame / frame_rate_hz
        centres = start_seconds + parameters.hop_seconds * torch.arange(
            num_rows, dtype=torch.float64
        )
        reach_seconds = parameters.half_window_seconds
        end_seconds = start_seconds + num_rows * parameters.hop_seconds
        chroma = notes_to_chroma(
            self._unrolled(start_seconds - reach_seconds, end_seconds + reach_seconds),
            start_seconds,
            num_rows,
            hop_seconds=parameters.hop_seconds,
            half_window_seconds=reach_seconds,
            rest=self.rest,
        )
        null = one_hot_classes(torch.tensor([REST_CLASS]))
        return torch.where(self._outside(centres)[:, None], null, chroma)

    def frame_classes(
        self, start_frame: int, num_frames: int, *, frame_rate_hz: float = 50.0
    ) -> Tensor:
        """See `Melody.frame_classes`."""
        notes = self._unrolled(
            start_frame / frame_rate_hz, (start_frame + num_frames) / frame_rate_hz
        )
        return notes_to_frame_classes(notes, frame_rate_hz, start_frame, num_frames)

    def to_json(self) -> dict[str, Any]:
        """See `Melody.to_json`."""
        rows = [[n.pitch, n.start_seconds, n.end_seconds, n.velocity] for n in self.notes]
        return {**self._common_json("notes"), "notes": rows}

    def _unrolled(self, first_seconds: float, end_seconds: float) -> list[Note]:
        """The notes of all rounds that sound in [first, end), and one before them to hold."""
        loop = self.loop_seconds
        if loop is None:
            return list(self._between(first_seconds, end_seconds))
        rounds = range(math.floor(first_seconds / loop) - 1, math.ceil(end_seconds / loop))
        last_start = loop - MIN_NOTE_SECONDS
        return [
            _moved(note, index * loop, loop)
            for index in rounds
            for note in self._between(
                min(first_seconds - index * loop, last_start),
                min(end_seconds - index * loop, last_start),
            )
        ]

    def _between(self, first_seconds: float, end_seconds: float) -> tuple[Note, ...]:
        """The notes that sound in [first, end) of one round, and the one before them."""
        begin = bisect_right(self.notes, first_seconds, key=lambda note: note.end_seconds)
        end = bisect_left(self.notes, end_seconds, key=lambda note: note.start_seconds)
        return self.notes[max(0, begin - 1) : max(begin, end)]


@dataclass(frozen=True)
class AudioMelody(Melody):
    """A melody heard in audio: one class, 0-11 or `REST_CLASS`, for each chroma hop.

    Class i was heard around i * hop_seconds. Moments between two are given to the nearer one.
    """

    classes: tuple[int, ...]
    hop_seconds: float

    def __hash__(self) -> int:
        return hash((self.length_seconds, self.loop_seconds, self.classes[:64]))  # see NoteMelody

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.classes or not all(0 <= c <= REST_CLASS for c in self.classes):
            raise ParameterError(
                f"the melody has {len(self.classes)} classes: expected one or more, "
                f"each 0 to {REST_CLASS}"
            )
        if not (math.isfinite(self.hop_seconds) and self.hop_seconds > 0):
            raise ParameterError(f"hop_seconds is {self.hop_seconds}: expected more than 0")

    def chroma_window(
        self,
        start_frame: int,
        num_rows: int,
        *,
        frame_rate_hz: float = 50.0,
        parameters: ChromaParameters = _PUBLISHED,
    ) -> Tensor:
        """See `Melody.chroma_window`."""
        rows = torch.arange(num_rows, dtype=torch.float64)
        seconds = start_frame / frame_rate_hz + parameters.hop_seconds * rows
        return one_hot_classes(self._classes_at(seconds, hold=self.rest == "hold"))

    def frame_classes(
        self, start_frame: int, num_frames: int, *, frame_rate_hz: float = 50.0
    ) -> Tensor:
        """See `Melody.frame_classes`."""
        frames = torch.arange(start_frame, start_frame + num_frames, dtype=torch.float64)
        return self._classes_at((frames + 0.5) / frame_rate_hz, hold=False)

    def to_json(self) -> dict[str, Any]:
        """See `Melody.to_json`."""
        return {
            **self._common_json("audio"),
            "classes": list(self.classes),
            "hop_seconds": self.hop_seconds,
        }

    def _classes_at(self, seconds: Tensor, *, hold: bool) -> Tensor:
        """The class at each moment [T], with rests held or as `REST_CLASS`: int64 [T]."""
        outside = self._outside(seconds)
        classes = self._classes_of_a_round()
        seconds = seconds + _FORGIVEN_SECONDS
        if self.loop_seconds is not None:
            seconds = seconds % self.loop_seconds
        if hold:
            before = classes if self.loop_seconds is not None else []
            classes = _held(classes, next((c for c in reversed(before) if c != REST_CLASS), None))
        nearest = (seconds / self.hop_seconds + 0.5).floor().long()
        index = nearest.clamp(0, len(classes) - 1)
        return torch.tensor(classes)[index].masked_fill(outside, REST_CLASS)

    def _classes_of_a_round(self) -> list[int]:
        """The classes up to the end of the loop, filled with rests where it is the longer one."""
        classes = list(self.classes)
        if self.loop_seconds is None:
            return classes
        rows = max(1, math.ceil(self.loop_seconds / self.hop_seconds))
        return (classes + [REST_CLASS] * (rows - len(classes)))[:rows]


def melody_from_notes(
    notes: Iterable[Note],
    *,
    length_seconds: float | None = None,
    loop_seconds: float | None = None,
    line: Line = "top",
    rest: RestPolicy = "hold",
) -> NoteMelody:
    """A melody of any notes, chords included: `line` says which note of a chord is the melody.

    `length_seconds` is the end of the last note unless it is given. What is left of a chord for
    less than `MIN_NOTE_SECONDS` is dropped. Raises ParameterError for no notes, notes outside of
    0 to `length_seconds`, or what `Melody` raises for.
    """
    melody = tuple(
        note
        for note in reduce_polyphony(notes, line)
        if note.end_seconds - note.start_seconds >= MIN_NOTE_SECONDS
    )
    if length_seconds is None:
        length_seconds = melody[-1].end_seconds if melody else 1.0
    return NoteMelody(length_seconds, loop_seconds, rest, melody)


def _moved(note: Note, seconds: float, loop_seconds: float) -> Note:
    """The note of another round, cut at the end of its loop."""
    end_seconds = min(note.end_seconds, loop_seconds)
    return replace(
        note, start_seconds=note.start_seconds + seconds, end_seconds=end_seconds + seconds
    )


def _held(classes: list[int], before: int | None) -> list[int]:
    """Each rest replaced by the class before it, the first ones by `before` if there is any."""
    held, last = [], REST_CLASS if before is None else before
    for one in classes:
        last = last if one == REST_CLASS else one
        held.append(last)
    return held
