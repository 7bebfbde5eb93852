"""The gate opens at a moment of the host's, so that what is heard there is the host's place.

While the transport stands still session time does, too, and no future moment has a frame. So the
moment is found in the host's time, the place in the bar that the host will have reached by then is
given to the frame at which the playhead stands, and the playout opens the gate to the sample.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bridge.argument import When
from bridge.clock.anchor import Anchor
from bridge.clock.follower import placed
from bridge.control.position import SECOND_NS, Position

if TYPE_CHECKING:
    from bridge.control.outcome import Outcome
    from bridge.control.session import Session

# The engine rewrites what stands in the buffer meanwhile, and the device is given its horizon.
AHEAD_NS = 350_000_000
_TOLERANCE_BEATS = 1e-6


def opening_ns(
    when: When, time_tag_ns: int | None, host: Anchor | None, beats_per_bar: int, now_ns: int
) -> int | None:
    """When to open the gate, counted from the time tag or from now; None is at once."""
    if host is None:
        return time_tag_ns
    first_ns = max(now_ns + AHEAD_NS, time_tag_ns or 0)
    if when.unit == "now":
        return first_ns
    step_beats = 1 if when.unit == "beat" else _row_beats(when.bars, host, beats_per_bar)
    beat = host.beat_at(first_ns) - _TOLERANCE_BEATS
    return host.time_of_ns(math.ceil(beat / step_beats) * step_beats)


def joining_ns(host: Anchor, now_ns: int) -> int:
    """When the music begins that a host has begun: at once, or on the line that its peers begin on.

    Link: "App should start playing according to its quantization" (its test plan).
    """
    first_ns = now_ns + AHEAD_NS
    if host.quantum_beats is None:
        return first_ns
    first_ns = max(first_ns, host.playing_from_ns or 0)
    beat = host.beat_at(first_ns) - _TOLERANCE_BEATS
    return host.time_of_ns(math.ceil(beat / host.quantum_beats) * host.quantum_beats)


def prepare(
    session: Session, host: Anchor, position: Position, at_ns: int, outcome: Outcome
) -> None:
    """Give the frame where the playhead stands the place that the host has at `at_ns`."""
    clock = session.clock
    standing = session.playout.standing_sample
    standing = position.commit_sample if standing is None else standing
    frame = max(position.commit_frame, -(-standing // position.hop_samples))
    ahead_samples = frame * position.hop_samples - standing
    time_ns = at_ns + ahead_samples * SECOND_NS // position.sample_rate_hz
    place = host.place_at(time_ns, clock.timeline.beats_per_bar_at(frame))
    clock.timeline = placed(clock.timeline, frame, place, host.bpm)
    session.send_timeline(frame, outcome)


def gate_message(identity: int, *, is_open: bool, time_ns: int | None = None) -> dict[str, Any]:
    """What the playout is told when the host, and no client, starts or stops."""
    message: dict[str, Any] = {"type": "gate", "id": identity, "is_open": is_open}
    return message if time_ns is None else {**message, "time_ns": time_ns}


def _row_beats(bars: int, host: Anchor, beats_per_bar: int) -> int:
    """The beats between the bar lines that begin a row of so many bars."""
    if host.quantum_beats is not None and host.quantum_beats % beats_per_bar:
        return host.quantum_beats  # only there do the peers' bars and ours agree
    return bars * beats_per_bar
