"""What of a song has begun in a stream, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from musicgen_rt.live.controls import Edit
from musicgen_rt.live.melody_keeper import Turn
from musicgen_rt.live.song import Section


@dataclass(frozen=True)
class Begun:
    """From `frame` of the stream on a section is played, the song's `index`; None: it is over.

    `edits` are the changes that it made, each with how many frames after `frame`; `turn` is what
    the melody became.
    """

    frame: int
    section: Section | None
    index: int = 0
    edits: tuple[tuple[int, Edit], ...] = field(default=(), compare=False)
    turn: Turn | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SongNews:
    """What has come to be played: a section from `frame` of the stream on, or none any more.

    `number` is the section's, from 1. `moves_clock` says whether its tempo and metre are others
    than those that were told for what comes before it, or for what was to come in its place.
    """

    frame: int
    section: Section | None
    number: int
    moves_clock: bool
