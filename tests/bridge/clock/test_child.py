"""A clock's child process: whatever it does, nobody waits for it."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest

from bridge.clock.child import ClockChild

DEADLINE_SECONDS = 60.0
MODULE = "tests.bridge.clock.odd_child"


def news(child: ClockChild, count: int = 1) -> list[dict[str, Any]]:
    """What it has said, once that is so much."""
    taken: list[dict[str, Any]] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(taken) < count:
        assert time.monotonic() < deadline
        taken += child.take()
        time.sleep(0.01)
    return taken


def test_a_child_that_does_not_read_blocks_nobody() -> None:
    child = ClockChild(MODULE, ("deaf",))
    try:
        news(child)
        for _ in range(5000):  # ten times what a pipe holds
            child.send({"type": "tempo", "bpm": 120.0, "padding": "x" * 100})
    finally:
        child.stop()


def test_a_child_that_ends_is_started_again() -> None:
    child = ClockChild(MODULE, ("dying",))
    try:
        assert [one["kind"] for one in news(child, 2)][:2] == ["dying", "dying"]
    finally:
        child.stop()


def test_rubbish_is_passed_over() -> None:
    child = ClockChild(MODULE, ("raving",))
    try:
        assert news(child) == [{"type": "news", "kind": "raving"}]
    finally:
        child.stop()


def test_stop_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def keep(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", keep)
    child = ClockChild(MODULE, ("deaf",))
    news(child)
    child.stop()
    (process,) = started
    assert process.wait(DEADLINE_SECONDS) != 0
