"""The longest turn of a loop, in time and in its own work."""

from __future__ import annotations

from bridge.control.loop_watch import LoopWatch


def test_the_longest_turn_counts_and_work_is_told_from_waiting() -> None:
    moments = iter([0, 5_000_000, 400_000_000, 405_000_000])
    used = iter([0, 1_000_000, 3_000_000, 60_000_000])
    watch = LoopWatch(lambda: next(moments), lambda: next(used))
    watch.turn()
    assert (watch.gap_seconds, watch.busy_seconds) == (0.0, 0.0)
    for _ in range(3):
        watch.turn()
    assert watch.gap_seconds == 0.395, "others had the processor"
    assert watch.busy_seconds == 0.057
