"""The watchdog barks once at a pump that stands still, and only then."""

from __future__ import annotations

import threading

from bridge.playout.watchdog import Watchdog


def test_a_pump_that_stands_still_is_noticed() -> None:
    barked = threading.Event()
    watchdog = Watchdog(barked.set, look_seconds=0.001)
    watchdog.step()
    assert barked.wait(30)
    watchdog.stop()


def test_a_pump_that_steps_is_left_alone() -> None:
    """Also one that steps only now and then, as where the processors are busy."""
    watchdog = Watchdog(lambda: None, look_seconds=3600)
    for _ in range(10):
        watchdog.step()
        assert not any(watchdog.look() for _ in range(6))
    assert watchdog.look()
    watchdog.stop()
