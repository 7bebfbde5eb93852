"""What is planned in a timeline, kept when something before it is changed.

A change of a timeline drops what was known behind it, since a new tempo replaces the tempi that
were to come. What is no tempo was asked for all the same: a signature for a bar line, the bar 1 of
a reset, or, behind a new signature, the rest of a ramp. It is made again on what holds now.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Flag, auto
from itertools import pairwise

from musicgen_rt.contract.segment import Segment
from musicgen_rt.contract.timeline import Timeline

# A segment and the one that follows it.
Joint = tuple[Segment, Segment]


class Plan(Flag):
    """Kinds of planned changes."""

    TEMPO = auto()
    SIGNATURE = auto()
    PLACE = auto()


def keeping(before: Timeline, after: Timeline, frame: int, kept: Plan) -> Timeline:
    """`after`, which differs from `before` from `frame` on, with what was planned behind it.

    A signature begins with the bar that it was to begin with, at whatever frame that bar line lies
    now; a place in the bar and a tempo stay at their frames.
    """
    planned = [pair for pair in pairwise(before.segments) if pair[1].frame > frame]
    timeline = after
    if Plan.TEMPO in kept:
        timeline = _with_tempi(timeline, planned)
    if Plan.PLACE in kept:
        timeline = _with_places(timeline, planned)
    if Plan.SIGNATURE in kept:  # last: the frame of a bar line follows from all else
        for old, new in planned:
            if new.beats_per_bar != old.beats_per_bar:
                timeline = _with_signature(timeline, frame, new)
    return timeline


def last_tempo_frame(timeline: Timeline, frame: int) -> int:
    """Where the last tempo begins that is known behind `frame` and before a place is set anew."""
    found = frame
    for old, new in pairwise(timeline.segments):
        if new.frame <= frame:
            continue
        if not new.continues(old):
            break
        if new.bpm != old.bpm:
            found = new.frame
    return found


def _with_signature(timeline: Timeline, frame: int, planned: Segment) -> Timeline:
    """The planned signature on its bar line, or on the first one behind `frame`."""
    at = math.floor(timeline.frame_at(float(planned.bar_beat)) + 0.5)
    if at <= frame:
        at = timeline.next_bar_start_at_or_after(frame + 1)
    changed = timeline.with_tempo(at, beats_per_bar=planned.beats_per_bar)
    behind = [pair for pair in pairwise(timeline.segments) if pair[1].frame > at]
    return _with_places(_with_tempi(changed, behind), behind)


def _with_tempi(timeline: Timeline, planned: Sequence[Joint]) -> Timeline:
    for old, new in planned:
        if new.bpm != old.bpm:
            timeline = timeline.with_tempo(new.frame, new.bpm)
    return timeline


def _with_places(timeline: Timeline, planned: Sequence[Joint]) -> Timeline:
    for old, new in planned:
        if not new.continues(old):
            behind = [pair for pair in pairwise(timeline.segments) if pair[1].frame > new.frame]
            _, place = new.bar_position(new.beat)
            timeline = _with_tempi(timeline.with_position(new.frame, place), behind)
    return timeline
