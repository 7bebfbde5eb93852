"""Log lines: readable, bounded, and never in anybody's way."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.log import REPEATS_A_WINDOW, WINDOW_SECONDS, LineWriter, LogSetup, RepeatFilter


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def setup(lines: list[str], tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "log.jsonl"
    logs = LogSetup(lines.append, path)
    yield path
    logs.close()


def test_a_performer_reads_time_part_and_text(setup: Path, lines: list[str]) -> None:
    logging.getLogger("mgrt.engine").info("ready in %d s", 3)
    logging.getLogger("mgrt.playout").warning("no sound")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  engine    ready in 3 s", lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d  playout   ! no sound", lines[1])


def test_what_a_terminal_would_obey_is_not_passed_on(setup: Path, lines: list[str]) -> None:
    logging.getLogger("mgrt.osc").info("prompt %s", "a\x1b[2Jb\nc")
    assert lines[0].endswith("prompt a?[2Jb c")


def test_json_lines_have_the_event_and_every_repeat(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "log.jsonl"
    logs = LogSetup(lines.append, path)
    for _ in range(REPEATS_A_WINDOW + 3):
        logging.getLogger("mgrt.osc").warning("bad", extra={"event": {"name": "bad", "n": 1}})
    logs.close()
    values = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(values) == REPEATS_A_WINDOW + 3
    assert values[-1]["level"] == "warning"
    assert values[-1]["part"] == "osc"
    assert values[-1]["event"] == {"name": "bad", "n": 1}
    assert abs(values[-1]["monotonic_ns"] - time.monotonic_ns()) < 60e9
    assert len(lines) == REPEATS_A_WINDOW


def test_a_flood_is_cut_and_said_to_be_cut() -> None:
    now = [0.0]
    one = RepeatFilter(lambda: now[0])

    def passes(text: str, *args: object) -> tuple[bool, str]:
        record = logging.LogRecord("mgrt.osc", logging.INFO, "", 0, text, args, None)
        return one.filter(record), record.getMessage()

    shown = [passes("bad packet from %s", number) for number in range(100)]
    assert [is_shown for is_shown, _ in shown].count(True) == REPEATS_A_WINDOW
    assert "more like this are not shown" in shown[REPEATS_A_WINDOW - 1][1]
    assert passes("something else")[0]
    now[0] = WINDOW_SECONDS + 1
    assert passes("bad packet from %s", 1)[0]


def test_a_flood_of_different_texts_is_bounded_too() -> None:
    one = RepeatFilter(lambda: 0.0)
    records = (
        logging.LogRecord("mgrt.osc", logging.INFO, "", 0, f"text {number}", (), None)
        for number in range(10_000)
    )
    assert sum(one.filter(record) for record in records) < 600


def test_a_stuck_terminal_stops_nobody() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb"):
        writer = LineWriter(stream, name="stuck", items=10)
        began = time.monotonic()
        for _ in range(1000):
            writer.put("x" * 65536)  # nobody reads: the pipe is full after the first
        writer.close(timeout_seconds=0.05)
        # Had one of the thousand waited for the terminal, it would wait still.
        assert time.monotonic() - began < 30
        assert writer.dropped > 900


def test_a_stream_that_breaks_is_survived() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream, name="broken")
    stream.close()
    writer.put("text")
    writer.close()
    assert writer.dropped == 1
