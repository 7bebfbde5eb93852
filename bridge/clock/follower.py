"""The follower: what to change of the session's timeline so that its beats fall on the host's.

A pure function of the host's anchor, the timeline with all that is planned in it, and where the
music stands. The error is taken where the plan ends, so what is on its way is never corrected
twice. A small error is bent away in music that is not made yet, which costs the engine nothing; a
larger one, and a new tempo, at the first frame that can still be changed; one that no listener
would follow as a bend is a jump of the host: the place in the bar is set anew, and the rewritten
music is crossfaded in. A signature that is planned for a bar line to come stays planned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.clock.anchor import Anchor
from bridge.clock.plan import Plan, keeping, last_tempo_frame
from bridge.control.position import SECOND_NS, Position
from musicgen_rt.contract.timeline import BPM_RANGE, Timeline

# Below this the error is left alone.
_REST_SECONDS = 0.0005
_REST_TEMPO = 0.0002
# From here on it is corrected in music that is made already.
_URGENT_SECONDS = 0.006
_URGENT_TEMPO = 0.004
# From here on it is a jump: further than a bend of a few percent brings back within a bar.
_JUMP_SECONDS = 0.12
_MAX_BEND = 0.08
_MIN_BEND_BEATS = 2.0
# The engine must know of a jump before it makes that frame.
_MARGIN_FRAMES = 3
# Tempi are kept to so many places, so that exact fractions stay short.
_BPM_PLACES = 5
_ROUNDING_BPM = 1e-4
_PLACE_PARTS = 1 << 24


@dataclass(frozen=True)
class Change:
    """Another timeline from `frame` on. `error_seconds` is what it corrects."""

    timeline: Timeline
    frame: int
    error_seconds: float
    is_urgent: bool
    is_jump: bool = False


def follow(timeline: Timeline, host: Anchor, position: Position, now_ns: int) -> Change | None:
    """The change that is due, None if the beats are where they should be or nothing moves.

    Of a host that stands only the tempo is followed.
    """
    if not position.is_moving:
        return None
    made_frame = max(position.written_end // position.hop_samples, position.commit_frame)
    soon_frame = position.commit_frame + _MARGIN_FRAMES
    rest = 0.0
    if host.is_running:
        error = error_at(timeline, host, position, now_ns, soon_frame)
        if abs(error) > _JUMP_SECONDS:
            return _jump(timeline, host, position, now_ns, soon_frame, error)
        rest = _error_after_plan(timeline, host, position, now_ns, soon_frame, error)
    bpm = _limited(host.bpm)
    tempo_change = abs(bpm / timeline.segments[-1].bpm - 1)
    if abs(rest) <= _REST_SECONDS and tempo_change <= _REST_TEMPO:
        return None
    is_urgent = abs(rest) > _URGENT_SECONDS or tempo_change > _URGENT_TEMPO
    frame = soon_frame if is_urgent else max(made_frame, soon_frame)
    if not host.is_running:
        return Change(_with_tempo(timeline, frame, bpm), frame, rest, is_urgent)
    return Change(bent(timeline, host, position, now_ns, frame), frame, rest, is_urgent)


def error_at(
    timeline: Timeline, host: Anchor, position: Position, now_ns: int, frame: int
) -> float:
    """How far the host is ahead of the session at a frame, in seconds, by the shorter way.

    Bars of the session and of peers with a quantum agree as far as they can: a bar of three beats
    and a quantum of four have no more than their beats in common.
    """
    time_ns = position.time_of_frame_ns(frame, now_ns)
    _, place = timeline.bar_position_at(frame)
    bar_beats = timeline.beats_per_bar_at(frame)
    beats = math.gcd(bar_beats, host.quantum_beats or bar_beats)
    ahead = host.beat_at(time_ns) - place
    return ((ahead + beats / 2) % beats - beats / 2) * 60 / host.bpm


def _error_after_plan(
    timeline: Timeline,
    host: Anchor,
    position: Position,
    now_ns: int,
    frame: int,
    error_seconds: float,
) -> float:
    """What an error at `frame` will be behind the last tempo that is planned, in seconds.

    By the beats that pass until then, not by bars, which a planned signature counts otherwise.
    """
    end_frame = last_tempo_frame(timeline, frame)
    ours = timeline.beat_at(end_frame) - timeline.beat_at(frame)
    from_ns, end_ns = (position.time_of_frame_ns(at, now_ns) for at in (frame, end_frame))
    return error_seconds + (host.beat_at(end_ns) - host.beat_at(from_ns) - ours) * 60 / host.bpm


def bent(timeline: Timeline, host: Anchor, position: Position, now_ns: int, frame: int) -> Timeline:
    """The timeline bent from `frame` on until it meets the host, and then at the host's tempo.

    Where the slowest or fastest tempo leaves no room to bend, the place is set at once instead.
    """
    bpm = _limited(host.bpm)
    error_beats = error_at(timeline, host, position, now_ns, frame) * bpm / 60
    beats = max(_MIN_BEND_BEATS, abs(error_beats) / _MAX_BEND)
    beats_per_frame = bpm / 60 / float(timeline.frame_rate_hz)
    frames = max(1, math.ceil(beats / beats_per_frame))
    wanted_bpm = bpm * (1 + error_beats / (frames * beats_per_frame))
    bend_bpm = _limited(wanted_bpm)
    if abs(bend_bpm - wanted_bpm) > _ROUNDING_BPM:
        return _moved(timeline, frame, error_beats, host.bpm)
    return _with_tempo(timeline, frame, bend_bpm, frame + frames, bpm)


def placed(timeline: Timeline, frame: int, place: float, bpm: float) -> Timeline:
    """The timeline with the host's place in the bar and tempo from `frame` on."""
    beats_per_bar = timeline.beats_per_bar_at(frame)
    whole = round(place * _PLACE_PARTS) / _PLACE_PARTS % beats_per_bar
    changed = timeline.with_tempo(frame, _limited(bpm)).with_position(frame, whole)
    return keeping(timeline, changed, frame, Plan.SIGNATURE)


def _with_tempo(
    timeline: Timeline, frame: int, bpm: float, later_frame: int = 0, later_bpm: float = 0.0
) -> Timeline:
    """Another tempo from `frame` on, and one more from a later frame on, if there is one."""
    changed = timeline.with_tempo(frame, bpm)
    if later_frame > frame:
        changed = changed.with_tempo(later_frame, later_bpm)
    return keeping(timeline, changed, frame, Plan.SIGNATURE | Plan.PLACE)


def _moved(timeline: Timeline, frame: int, beats: float, bpm: float) -> Timeline:
    """The timeline with its place in the bar so many beats further from `frame` on."""
    _, place = timeline.bar_position_at(frame)
    return placed(timeline, frame, (place + beats) % timeline.beats_per_bar_at(frame), bpm)


def _jump(
    timeline: Timeline, host: Anchor, position: Position, now_ns: int, frame: int, error: float
) -> Change:
    timeline = _moved(timeline, frame, error * host.bpm / 60, host.bpm)
    return Change(timeline, frame, error, is_urgent=True, is_jump=True)


def _limited(bpm: float) -> float:
    low, high = BPM_RANGE
    return min(max(round(bpm, _BPM_PLACES), low), high)


def drift_ppm(first: Position, last: Position) -> float:
    """How much faster than the monotonic clock the device runs, by two of its reports."""
    elapsed_ns = last.dac_time_ns - first.dac_time_ns
    samples = last.dac_sample - first.dac_sample
    return (samples * SECOND_NS / (elapsed_ns * first.sample_rate_hz) - 1) * 1e6
