"""When a request is to be heard, as a session frame."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.argument import When
from bridge.control.position import Position
from bridge.control.session_clock import SessionClock


@dataclass(frozen=True)
class Target:
    """`frame` is None for as soon as possible; `late_ms` is by how much a time tag was missed."""

    frame: int | None
    late_ms: float = 0.0


def resolve_target(
    when: When, time_tag_ns: int | None, clock: SessionClock, position: Position, now_ns: int
) -> Target:
    """The frame that `when`, counted from the time tag or from now, means.

    What is before the first frame that can still be changed becomes as soon as possible. While the
    session stands still no future time has a frame, and a time tag cannot be missed by its sound.
    """
    earliest = position.commit_frame
    if time_tag_ns is None or not position.is_moving:
        return Target(_frame(when, earliest, clock))
    wanted = round(position.frame_at(time_tag_ns, now_ns))
    if wanted >= earliest:
        frame = _frame(when, wanted, clock)
        return Target(wanted if frame is None else frame)
    late_ms = (earliest - wanted) * position.hop_samples * 1000 / position.sample_rate_hz
    return Target(_frame(when, earliest, clock), late_ms)


def _frame(when: When, first_frame: int, clock: SessionClock) -> int | None:
    if when.unit == "now":
        return None
    if when.unit == "beat":
        return clock.next_beat_frame(first_frame)
    return clock.next_bar_frame(first_frame, when.bars)
