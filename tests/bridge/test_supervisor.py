"""The supervisor with real processes: every child that must go goes, and nothing stays."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import supervisor as supervisor_module
from bridge.supervisor import ChildEvents, ChildState, Supervisor
from tests.bridge.child_process import BEHAVIOUR
from tests.bridge.supervisor_rig import Owner, is_alive, play

ROOT = Path(__file__).resolve().parents[2]
BUFFER_BYTES = 1234
# Nobody waits so long but where something is wrong.
PATIENCE_SECONDS = 20.0


@pytest.fixture
def buffer_fd() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.truncate(BUFFER_BYTES)
        yield file.fileno()


@pytest.fixture(autouse=True)
def _from_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_messages_go_both_ways_and_the_buffer_is_inherited(buffer_fd: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        assert owner.of_type("hello")[0]["buffer"] == BUFFER_BYTES
        assert owner.supervisor.send({"type": "ask", "text": "ä" * 100_000})
        await owner.until(lambda: bool(owner.of_type("echo")))
        assert owner.of_type("echo")[0]["of"]["text"] == "ä" * 100_000
        pid = owner.supervisor.pid
        assert pid is not None
        await owner.supervisor.stop(PATIENCE_SECONDS)
        assert not is_alive(pid)
        assert owner.stops == []  # it left because it was asked to
        assert owner.supervisor.state is ChildState.DOWN

    play(test)


def test_what_a_child_prints_is_logged_with_its_level(
    buffer_fd: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        await owner.supervisor.stop(PATIENCE_SECONDS)

    play(test)
    assert ("mgrt.engine", logging.WARNING, "told on stdout") in caplog.record_tuples
    assert "chatter" not in caplog.text


def test_a_killed_child_is_replaced_at_once(buffer_fd: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        first = owner.supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await owner.until(lambda: len(owner.of_type("hello")) == 2)
        assert owner.starts == 2
        assert owner.supervisor.restarts == 1
        assert owner.stops == [("ended (SIGKILL)", True)]
        assert owner.supervisor.pid != first
        await owner.supervisor.stop(PATIENCE_SECONDS)

    play(test)


def test_a_stopped_child_counts_as_hung_and_is_replaced(buffer_fd: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd, silence_seconds=0.3)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        first = owner.supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        owner.supervisor.mark_ready()
        await owner.until(lambda: len(owner.of_type("hello")) == 2)
        assert owner.stops[0][0].startswith("hung: silent for 0.3 s")
        assert not is_alive(first)
        await owner.supervisor.stop(PATIENCE_SECONDS)

    play(test)


def test_silence_does_not_count_while_this_process_sleeps(buffer_fd: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd, silence_seconds=0.5)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        owner.supervisor.mark_ready()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:  # a second in which the event loop gets no turn
            pass
        # Some turns of the loop: enough to notice, had the second been counted.
        await asyncio.sleep(2 * supervisor_module.TICK_SECONDS)
        assert owner.stops == []
        await owner.supervisor.stop(PATIENCE_SECONDS)

    play(test)


def test_a_child_that_crashes_again_and_again_is_started_ever_more_slowly(
    buffer_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEHAVIOUR, "crash")
    monkeypatch.setattr(supervisor_module, "PAUSES_SECONDS", (0.0, 0.1, 0.3))

    async def test() -> None:
        owner = Owner(buffer_fd)
        started = time.monotonic()
        owner.supervisor.start()
        await owner.until(lambda: owner.starts == 4)
        assert time.monotonic() - started >= 0.4
        assert owner.stops[0] == ("ended (exit code 3)", True)
        await owner.supervisor.stop(PATIENCE_SECONDS)

    play(test)


def test_a_hopeless_child_is_not_started_again(
    buffer_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEHAVIOUR, "hopeless")

    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.stops))
        assert owner.stops == [("ended (exit code 78)", False)]
        assert owner.supervisor.state is ChildState.FAILED
        await owner.supervisor.stop(PATIENCE_SECONDS)
        assert owner.starts == 1

    play(test)


def test_a_child_that_has_worked_is_never_given_up(
    buffer_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it lacks now, memory or its file, may be there again when the next one starts."""

    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        owner.supervisor.mark_ready()
        monkeypatch.setenv(BEHAVIOUR, "hopeless")
        assert owner.supervisor.pid is not None
        os.kill(owner.supervisor.pid, signal.SIGKILL)
        await owner.until(lambda: ("ended (exit code 78)", True) in owner.stops)
        monkeypatch.setenv(BEHAVIOUR, "good")
        await owner.until(lambda: len(owner.of_type("hello")) == 2)
        await owner.supervisor.stop(PATIENCE_SECONDS)
        assert all(is_followed for _, is_followed in owner.stops)

    play(test)


def test_a_child_that_sends_nonsense_is_replaced(
    buffer_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEHAVIOUR, "nonsense")

    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.stops))
        assert "sent nonsense" in owner.stops[0][0]
        await owner.supervisor.stop(PATIENCE_SECONDS)

    play(test)


def test_a_handler_that_fails_costs_neither_the_child_nor_the_next_message(buffer_fd: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd)
        record = owner.take
        calls = 0

        def fails_first(message: dict[str, Any], payload: bytes) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RuntimeError("a fault of ours")
            record(message, payload)

        events = ChildEvents(owner.begin, fails_first, owner.end)
        one = owner.supervisor = Supervisor(owner.supervisor.spec, events, buffer_fd)
        one.start()
        await owner.until(lambda: owner.starts == 1)
        one.send({"type": "ask"})
        await owner.until(lambda: bool(owner.of_type("echo")))
        assert owner.stops == []
        await one.stop(PATIENCE_SECONDS)

    play(test)


def test_a_deaf_child_is_killed_when_patience_ends(
    buffer_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEHAVIOUR, "deaf")

    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        pid = owner.supervisor.pid
        assert pid is not None
        began = time.monotonic()
        await owner.supervisor.stop(0.4)
        # It would stay for a minute.
        assert 0.3 < time.monotonic() - began < PATIENCE_SECONDS
        assert not is_alive(pid)

    play(test)


def test_what_a_child_has_started_goes_with_it(
    buffer_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEHAVIOUR, "grandchild")

    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.of_type("hello")))
        grandchild = owner.of_type("grandchild")[0]["pid"]
        assert is_alive(grandchild)
        await owner.supervisor.stop(PATIENCE_SECONDS)
        # It is killed by then, and takes a moment to go.
        async with asyncio.timeout(PATIENCE_SECONDS):
            while is_alive(grandchild):
                await asyncio.sleep(0.01)

    play(test)


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_stop_right_after_start_leaves_nothing(buffer_fd: int, turns: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        pid = owner.supervisor.pid
        began = time.monotonic()
        await owner.supervisor.stop(PATIENCE_SECONDS)
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert pid is None or not is_alive(pid)
        assert owner.supervisor.pid is None

    play(test)


def test_the_last_words_of_a_child_that_dies_at_once_are_kept(
    buffer_fd: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEHAVIOUR, "hopeless")

    async def test() -> None:
        owner = Owner(buffer_fd)
        owner.supervisor.start()
        await owner.until(lambda: bool(owner.stops))

    play(test)
    assert "told on stdout" in caplog.text
    assert "chatter of a library" in caplog.text  # of one that has died it may be the reason


def test_a_fault_while_a_child_is_told_what_to_do_costs_only_that_child(buffer_fd: int) -> None:
    async def test() -> None:
        owner = Owner(buffer_fd)

        def begin_fails_first() -> None:
            owner.begin()
            if owner.starts == 1:
                raise RuntimeError("a fault of ours")

        def end_fails(reason: str, is_followed: bool) -> None:
            owner.end(reason, is_followed)
            raise RuntimeError("another fault of ours")

        events = ChildEvents(begin_fails_first, owner.take, end_fails)
        one = owner.supervisor = Supervisor(owner.supervisor.spec, events, buffer_fd)
        one.start()
        await owner.until(lambda: owner.starts == 2)
        said = len(owner.of_type("hello"))
        await owner.until(lambda: len(owner.of_type("hello")) > said)
        await one.stop(PATIENCE_SECONDS)

    play(test)
