"""Marks on the host's bar lines, to the sample of the sound card: at most 3 ms off."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicgen_rt.evaluate import sync_marks
from tests.bridge.clock.twin_marks import KINDS, mark_error_ms
from tests.bridge.clock.twin_stage import Card, TwinStage

MAX_ERROR_MS = 3.0


@pytest.mark.parametrize(
    ("card", "bpm"),
    [
        (Card(48000, 512), 120.0),
        (Card(44100, 1024, ppm=150), 93.7),
        (Card(48000, 64, ppm=-150), 200.0),
        (Card(44100, 256), 60.0),
    ],
)
def test_bar_quantised_marks_are_heard_on_the_hosts_bars(
    tmp_path: Path, card: Card, bpm: float
) -> None:
    stage = TwinStage(tmp_path, card, bpm)
    stage.run(5)
    bar_seconds = 240 / bpm
    errors = {kind: mark_error_ms(stage, kind, 0.13 + 0.17 * n) for n, kind in enumerate(KINDS)}
    assert max(map(abs, errors.values())) <= MAX_ERROR_MS, errors
    first = stage.first_heard_from(stage.clock.now_ns - round(1.5 * bar_seconds * 1e9))
    clicks = [float(first + at) for at in sync_marks.clicks(stage.heard_from(first), card.rate_hz)]
    assert len(clicks) >= 4
    assert max(map(abs, stage.errors_ms(clicks, 1))) <= MAX_ERROR_MS


def test_a_host_that_stops_and_starts_is_on_the_beat_again(tmp_path: Path) -> None:
    stage = TwinStage(tmp_path, Card(), 120.0)
    stage.run(5)
    stage.host.change(stage.clock.now_ns, is_playing=False, is_running=False)
    stage.run(1)
    assert not stage.heard_from(stage.first_heard_from(stage.clock.now_ns)).any()
    stage.host.change(stage.clock.now_ns, beat=17.3, is_playing=True, is_running=True)
    first = stage.first_heard_from(stage.clock.now_ns)
    stage.run(4)
    clicks = [float(first + at) for at in sync_marks.clicks(stage.heard_from(first), 48000)]
    assert len(clicks) >= 5
    assert max(map(abs, stage.errors_ms(clicks, 1))) <= MAX_ERROR_MS
