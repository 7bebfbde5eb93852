"""When a request is to be heard, as a session frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.argument import When
from bridge.control.position import Position
from bridge.control.session_clock import SessionClock

# The engine takes so long to go back and to make the first music anew.
MUSIC_AHEAD_SECONDS = 0.16
_BEAT_PLACES = 9


@dataclass(frozen=True)
class Target:
    """`frame` is None for as soon as possible; `late_ms` is by how much a time tag was missed.

    `place` is the exact moment in frames: what is done to samples need not wait for a frame. `beat`
    is the session's beat of a line: a change of tempo moves the line, and what waits for it.
    """

    frame: int | None
    late_ms: float = 0.0
    place: float = 0.0
    beat: float | None = None


def resolve_target(
    when: When,
    time_tag_ns: int | None,
    clock: SessionClock,
    position: Position,
    now_ns: int,
    *,
    is_music: bool = False,
) -> Target:
    """The frame that `when`, counted from the time tag or from now, means.

    What is before the first frame that can still be changed becomes as soon as possible. While the
    session stands still no future time has a frame, and a time tag cannot be missed by its sound.
    With `is_music` the engine has to make something first: a line that it cannot reach any more is
    left for the next one, since a little behind the line is where nobody wants it.
    """
    earliest = position.commit_frame
    if not position.is_moving:
        return _from(when, earliest, clock)
    if time_tag_ns is None:
        ahead_frames = MUSIC_AHEAD_SECONDS * position.sample_rate_hz / position.hop_samples
        return _from(when, earliest + (round(ahead_frames) if is_music else 0), clock)
    place = position.frame_at(time_tag_ns, now_ns)
    wanted = round(place)
    if wanted >= earliest:
        target = _from(when, wanted, clock)
        return Target(wanted, place=place) if target.frame is None else target
    late_ms = (earliest - wanted) * position.hop_samples * 1000 / position.sample_rate_hz
    return replace(_from(when, earliest, clock), late_ms=late_ms)


def _from(when: When, first_frame: int, clock: SessionClock) -> Target:
    if when.unit == "now":
        return Target(None)
    if when.unit == "beat":
        place = clock.next_beat(first_frame)
        frame = round(place)
    else:
        frame, place = clock.next_bar(first_frame, when.bars)
    # Floats must not show in what is a whole number as a rule.
    beat = round(clock.timeline.beat_at(place), _BEAT_PLACES)
    return Target(frame, place=place, beat=beat)
