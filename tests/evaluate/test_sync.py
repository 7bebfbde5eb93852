"""The sync measure runs: a real JACK server, a host, the daemon, a recorder."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicgen_rt.evaluate.sync import MAX_ERROR_MS, SyncCondition, evaluate_sync
from tests.bridge.jack_server import require_jack


@pytest.mark.jack
@pytest.mark.timeout(300)
def test_marks_are_on_the_hosts_bars(tmp_path: Path) -> None:
    require_jack()
    report = evaluate_sync(SyncCondition(120.0, events=5), tmp_path, lambda *_: None)
    assert report["marks"] + report["lost_marks"] == 5
    # Where the machine is too busy for JACK, periods are missed and time itself is not even.
    if report["missed_periods"] == 0:
        assert report["lost_marks"] == 0
        assert report["worst_ms"] <= MAX_ERROR_MS
