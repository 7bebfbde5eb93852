"""What the live view shows of a session."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest

from bridge.control.host_following import Following
from bridge.control.session_view import SessionView
from bridge.live_view import ASCII, LiveView, meter, plain_line, view_lines
from bridge.settings import LogConfig
from bridge.terminal import Terminal

PLAYING = SessionView(
    phase="playing",
    model="pocket",
    progress=1.0,
    progress_text="",
    bar=12,
    beat=3,
    bpm=124.0,
    beats_per_bar=4,
    prompts=((0, "deep house", 0.75), (3, "jazz\ntrio", 0.25)),
    lead_ms=1850.0,
    underruns=2,
    is_fallback=False,
    steps_per_second=62.0,
    peak_db=-6.0,
    rms_db=-18.5,
    gain_db=-3.0,
    is_muted=False,
    recording="take1.wav",
    device="USB audio",
    latency_p50_ms=120.0,
    latency_p95_ms=190.0,
    following=Following("internal", True, 0.0, 0.0, 0.0),
)
LOADING = replace(PLAYING, phase="loading", progress=0.4, progress_text="weights", prompts=())


def test_all_that_a_performer_wants_is_there() -> None:
    text = "\n".join(view_lines(PLAYING, footer="OSC 9120"))
    transport = ("12:3", "124.0 bpm", "1850 ms", "underruns 2", "-18.5 dB")
    prompts = ("deep house", "0.75", "jazz trio")
    for part in (*transport, *prompts, "62 steps/s", "USB audio", "take1.wav", "OSC 9120"):
        assert part in text


def test_a_loading_model_and_a_loop_are_told() -> None:
    assert "40%" in "\n".join(view_lines(LOADING, footer=""))
    looping = replace(PLAYING, is_fallback=True)
    assert "LOOPING" in "\n".join(view_lines(looping, footer=""))
    assert "LOOPING" in plain_line(looping)
    assert plain_line(LOADING) == "loading pocket: 40% weights"


def test_no_line_can_break_the_screen() -> None:
    hostile = replace(PLAYING, prompts=((0, "a\x1b[2J\nb", 1.0),), model="x\ny", device="\x07")
    for line in view_lines(hostile, footer=""):
        assert line.isprintable()


def test_without_unicode_it_is_ascii() -> None:
    assert all(line.isascii() for line in view_lines(PLAYING, footer="", symbols=ASCII))


@pytest.mark.parametrize(("part", "expected"), [(-1, "...."), (0.5, "==.."), (9, "====")])
def test_a_meter_stays_in_its_cells(part: float, expected: str) -> None:
    assert meter(part, 4, ASCII) == expected


def test_elsewhere_than_in_a_terminal_a_line_comes_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    terminal = Terminal(io.StringIO())
    view = LiveView(terminal, LogConfig(line_seconds=10.0), "", clock=lambda: now[0])
    for second in range(21):
        now[0] = float(second)
        view.show(PLAYING)
    assert len(caplog.records) == 3
    view.show(LOADING)  # a new phase is told at once
    assert "loading pocket" in caplog.records[-1].getMessage()
    terminal.close()


def test_lines_can_be_turned_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    terminal = Terminal(io.StringIO())
    LiveView(terminal, LogConfig(line_seconds=0.0), "").show(PLAYING)
    assert caplog.records == []
    terminal.close()
