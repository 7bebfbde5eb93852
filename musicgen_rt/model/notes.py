"""Notes in seconds, and the reduction of chords to one line."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from musicgen_rt.errors import ParameterError

Line = Literal["top", "low", "last", "strongest"]
"""Which of several sounding notes is the melody; see `reduce_polyphony`."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sounding note: MIDI pitch 0-127, velocity 1-127, half-open time in seconds.

    Raises ParameterError for values outside those ranges or an end that is not after the start.
    """

    pitch: int
    start_seconds: float
    end_seconds: float
    velocity: int = 100

    def __post_init__(self) -> None:
        if not (isinstance(self.pitch, int) and 0 <= self.pitch <= 127):
            raise ParameterError(f"the pitch is {self.pitch!r}: expected a MIDI note, 0 to 127")
        if not (isinstance(self.velocity, int) and 1 <= self.velocity <= 127):
            raise ParameterError(f"the velocity is {self.velocity!r}: expected 1 to 127")
        finite = math.isfinite(self.start_seconds) and math.isfinite(self.end_seconds)
        if not (finite and self.start_seconds < self.end_seconds):
            raise ParameterError(
                f"the note lasts from {self.start_seconds} s to {self.end_seconds} s: "
                "expected a start before the end, both finite"
            )

    @property
    def pitch_class(self) -> int:
        """0 for C to 11 for B."""
        return self.pitch % 12


def reduce_polyphony(notes: Iterable[Note], line: Line = "top") -> tuple[Note, ...]:
    """One melody out of chords: at each moment the note that `line` prefers, in order of time.

    "top" is the highest sounding note, "low" the lowest, "last" the one that began latest (as a
    monophonic synthesizer plays) and "strongest" the one with the greatest velocity; equals go to
    the higher pitch. A held note that was covered sounds on when what covered it ends, as a note
    of its own.

    Raises ParameterError for an unknown `line`.
    """
    if line not in get_args(Line):
        raise ParameterError(f"the line is {line!r}: expected one of {', '.join(get_args(Line))}")
    waiting = sorted(notes, key=lambda note: note.start_seconds)
    moments = sorted({t for note in waiting for t in (note.start_seconds, note.end_seconds)})
    sounding: list[tuple[tuple[float, ...], int, Note]] = []  # heap, the preferred note first
    melody: list[Note] = []
    source = -1
    started = 0
    for moment, following in itertools.pairwise(moments):
        while started < len(waiting) and waiting[started].start_seconds <= moment:
            note = waiting[started]
            heapq.heappush(sounding, (_preference(note, line), started, note))
            started += 1
        while sounding and sounding[0][2].end_seconds <= moment:
            heapq.heappop(sounding)
        if not sounding:
            source = -1
            continue
        _, index, note = sounding[0]
        if index == source:
            melody[-1] = replace(melody[-1], end_seconds=following)
        else:
            melody.append(replace(note, start_seconds=moment, end_seconds=following))
        source = index
    return tuple(melody)


def _preference(note: Note, line: Line) -> tuple[float, ...]:
    """A key that is smallest for the note that `line` prefers."""
    if line == "top":
        return (-note.pitch, -note.start_seconds)
    if line == "low":
        return (note.pitch, -note.start_seconds)
    if line == "last":
        return (-note.start_seconds, -note.pitch)
    return (-note.velocity, -note.pitch)
