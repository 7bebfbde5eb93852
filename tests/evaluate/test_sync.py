"""The sync measure runs: a real JACK server, a host, the daemon, a recorder."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.sync import MAX_ERROR_MS, SyncCondition, evaluate_sync, spread
from tests.bridge.jack_server import require_jack


@pytest.mark.jack
@pytest.mark.timeout(300)
def test_marks_are_on_the_hosts_bars(tmp_path: Path) -> None:
    require_jack()
    report = evaluate_sync(SyncCondition(120.0, events=3), tmp_path, lambda *_: None)
    assert report["faults"] == []
    # Where the machine is too busy for JACK, periods are missed and time itself is not even.
    if report["missed_periods"] == 0:
        assert (report["marks"], report["lost_marks"]) == (3, 0)
        assert report["worst_ms"] <= MAX_ERROR_MS


@pytest.mark.parametrize(("events", "cards"), [(100, 10), (100, 6), (24, 6), (400, 6)])
def test_marks_are_spread_over_the_conditions(events: int, cards: int) -> None:
    periods = [64 * 2**n for n in range(cards // 2)]
    bpms = (200.0, 60.0, 93.7, 120.0)
    conditions = spread(bpms, (44100, 48000), periods, events)
    assert len({(one.bpm, one.rate_hz, one.period_frames) for one in conditions}) == 4 * cards
    assert sum(one.events for one in conditions) == events
    by_bpm = [sum(one.events for one in conditions if one.bpm == bpm) for bpm in sorted(bpms)]
    assert by_bpm == sorted(by_bpm)


def test_fewer_marks_than_conditions_are_refused() -> None:
    with pytest.raises(ParameterError, match="7 marks over 8 conditions"):
        spread((60.0, 120.0), (44100, 48000), (64, 1024), 7)
