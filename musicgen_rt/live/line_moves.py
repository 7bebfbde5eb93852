"""What waits for a line of the session goes with its beat, whatever becomes of the tempo.

The beat is kept as it was asked for, and frames are computed from it anew: a host that is followed
moves the lines a little several times a second, and no rounding may add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.action import Action

# A line's place is computed from its beat and back: they may differ in their last digits.
_TOLERANCE_FRAMES = 1e-3


@dataclass(frozen=True)
class _Line:
    """A line's beat, its place in frames and the frame nearest to it."""

    beat: float
    place: float
    frame: int


def beat_of_bar_at(timeline: Timeline, frame: int) -> float:
    """The beat of the bar line that the bar played at `frame` begins with."""
    return timeline.beat_at(timeline.bar_line_at(timeline.bar_at(frame)))


def lay(action: Action, timeline: Timeline, hop_samples: int) -> None:
    """Put an action that waits for a line there; a jump at the bar line nearest to it."""
    if action.beat is not None:
        _put(action, _line_at(timeline, action.beat, is_bar=action.is_jump), hop_samples)


def move(actions: Iterable[Action], before: Timeline, after: Timeline, hop_samples: int) -> None:
    """Take actions that were laid under one timeline along to another.

    Where the bars are others what was asked for at a bar line is heard at the nearest one.
    """
    lines: dict[tuple[float, bool], _Line] = {}  # many wait for the same one
    for action in actions:
        if action.beat is None:
            continue
        key = action.beat, action.is_jump
        if key not in lines:
            is_bar = action.is_jump or _is_bar_line(before, action.beat)
            lines[key] = _line_at(after, action.beat, is_bar=is_bar)
        _put(action, lines[key], hop_samples)


def _put(action: Action, line: _Line, hop_samples: int) -> None:
    before = action.frame, action.sample
    action.beat, action.frame = line.beat, line.frame
    if action.sample is not None:
        action.sample = round(line.place * hop_samples)
        action.frame = action.sample // hop_samples
    if before != (action.frame, action.sample):
        action.is_waiting = None


def _line_at(timeline: Timeline, beat: float, *, is_bar: bool) -> _Line:
    """The line at a beat, or the bar line nearest to it."""
    place = timeline.frame_at(beat)
    if not is_bar:
        return _Line(beat, place, math.floor(place + 0.5))
    bar = _bar_near(timeline, place)
    line = timeline.bar_line_at(bar)
    if abs(line - place) > _TOLERANCE_FRAMES:
        beat, place = timeline.beat_at(line), line
    return _Line(beat, place, timeline.bar_start_frame(bar))


def _is_bar_line(timeline: Timeline, beat: float) -> bool:
    place = timeline.frame_at(beat)
    return abs(timeline.bar_line_at(_bar_near(timeline, place)) - place) <= _TOLERANCE_FRAMES


def _bar_near(timeline: Timeline, place: float) -> int:
    """The bar whose line is nearest to a place in frames."""
    bar = timeline.bar_at(math.floor(place))
    return min(bar, bar + 1, key=lambda one: abs(timeline.bar_line_at(one) - place))
