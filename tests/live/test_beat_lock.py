"""The lock as a state machine: in beats, no audio, no time."""

from __future__ import annotations

from musicgen_rt.live.beat_comb import NOTHING_HEARD, BeatReading
from musicgen_rt.live.beat_lock import BeatLock, LockState


def fed(lock: BeatLock, ahead: float, error: float, beats: range, sure: float = 0.9) -> BeatLock:
    """The lock after readings of music that is `ahead` at beat 0 and runs by `error` too fast."""
    for beat in beats:
        turns = ahead + error * beat
        lock = lock.heard(BeatReading(turns - round(turns), error, sure), float(beat))
    return lock


def test_it_locks_onto_beats_that_are_heard_again() -> None:
    lock = BeatLock()
    assert not lock.is_acting
    lock = fed(lock, 0.2, 0.0, range(1))
    assert lock.state is LockState.SEARCHING, "once is chance"
    lock = fed(lock, 0.2, 0.0, range(1, 4))
    assert lock.state is LockState.LOCKED
    assert lock.belief is not None
    assert abs(lock.belief.ahead_beats - 0.2) < 1e-6
    assert lock.confidence > 0.6


def test_it_follows_a_drift_around_the_circle() -> None:
    lock = fed(BeatLock(), 0.0, 0.02, range(60))
    assert lock.state is LockState.LOCKED
    assert lock.relocks == 0
    assert lock.belief is not None
    place = lock.belief.at(60.0).ahead_beats - 0.02 * 60
    assert abs(place - round(place)) < 1e-6
    assert abs(lock.belief.tempo_error - 0.02) < 1e-6


def test_what_is_hardly_heard_moves_nothing() -> None:
    assert not fed(BeatLock(), 0.2, 0.01, range(40), sure=0.2).is_acting
    assert not fed(BeatLock(), 0.2, 0.01, range(40), sure=0.3).is_acting


def test_it_holds_through_a_break_and_then_lets_go() -> None:
    lock = fed(BeatLock(), 0.1, 0.0, range(8))
    for beat in range(8, 20):
        lock = lock.heard(NOTHING_HEARD, float(beat))
    assert lock.state is LockState.HOLDING
    assert lock.is_acting
    for beat in range(20, 30):
        lock = lock.heard(NOTHING_HEARD, float(beat))
    assert lock.state is LockState.SEARCHING
    assert lock.belief is None
    assert lock.confidence < 0.01


def test_one_stray_reading_is_passed_over_and_a_new_place_is_believed() -> None:
    lock = fed(BeatLock(), 0.1, 0.0, range(8))
    stray = lock.heard(BeatReading(-0.4, 0.0, 0.9), 8.0)
    assert stray.belief == lock.belief
    again = fed(stray, 0.1, 0.0, range(9, 11))
    assert again.relocks == 0
    moved = fed(lock, -0.4, 0.0, range(8, 14))
    assert moved.relocks == 1
    assert moved.state is LockState.LOCKED
    assert moved.belief is not None
    assert abs(moved.belief.ahead_beats + 0.4) < 1e-6
