"""A child process of the daemon: started, listened to, ended, and started again when it fails.

A child's death shows as the end of its pipe, its hanging as silence: every message counts as a
sign of life, and children send heartbeats. Silence is counted only while this process itself is
awake, so a machine that starves or sleeps does not make anybody look dead. A child that is dead,
hung or does not read its messages is killed with everything it has started, and a new one follows
after a growing pause.

All methods belong to the [control] thread: they are called from the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bridge.child import BURIAL_SECONDS, Child

TICK_SECONDS: Final = 0.05
# One tick adds at most this much silence, however long this process was kept from running.
MAX_TICK_SECONDS: Final = 0.1

PAUSES_SECONDS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
# After so long without a fault the next one is met with the first pause again.
HEALTHY_SECONDS: Final = 30.0

# What a child leaves with at its first start when it would fail again in the same way: EX_USAGE
# and EX_CONFIG of sysexits.h.
HOPELESS_EXITS: Final = (64, 78)


class ChildState(StrEnum):
    """Where a child is in its life."""

    DOWN = "down"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"


@dataclass(frozen=True)
class ChildSpec:
    """What a child is: its module, and how long it may be silent."""

    name: str
    module: str
    start_silence_seconds: float
    ready_silence_seconds: float


@dataclass(frozen=True)
class ChildEvents:
    """What the owner is told. All are called from the event loop and must not block.

    `started` is told after each start, so that the owner sends the first message; `message` hands
    on what the child says; `stopped` tells why a child has ended and whether another follows.
    """

    started: Callable[[], None]
    message: Callable[[dict[str, Any], bytes], None]
    stopped: Callable[[str, bool], None]


class Supervisor:
    """Keeps one child alive from `start` to `stop`."""

    def __init__(self, spec: ChildSpec, events: ChildEvents, buffer_fd: int) -> None:
        self.spec = spec
        self.state = ChildState.DOWN
        self.restarts = 0
        self._events = events
        self._buffer_fd = buffer_fd
        self._log = logging.getLogger(f"mgrt.{spec.name}")
        self._child: Child | None = None
        self._faults = 0
        self._has_been_ready = False
        self._stop_asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return None if self._child is None else self._child.process.pid

    def start(self) -> None:
        """Start the child and watch it, again also after `stop`. Needs a running event loop."""
        if self._task is None or self._task.done():
            self._stop_asked.clear()
            self._faults = 0
            self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, message: Mapping[str, Any]) -> bool:
        """Send a message to the child; False if there is none to take it."""
        return self._child is not None and self._child.send(message)

    def mark_ready(self) -> None:
        """The child has said that it is ready: the shorter deadline holds from now on."""
        self.state = ChildState.READY
        self._has_been_ready = True
        if self._child is not None:
            self._child.ready_since = time.monotonic()

    def ask_to_quit(self) -> None:
        """Tell the child to leave; nobody follows it. `stop` waits for it."""
        self._stop_asked.set()
        if self._child is not None:
            self._child.ask_to_quit()

    async def stop(self, patience_seconds: float) -> None:
        """End the child: it is asked to leave, and killed when it has not after a while."""
        self.ask_to_quit()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=patience_seconds / 2)
        if not self._task.done() and self._child is not None:
            self._child.signal(signal.SIGTERM)
        await asyncio.wait([self._task], timeout=patience_seconds / 2)
        if not self._task.done() and self._child is not None:
            self._log.warning("did not leave in %.1f s: killed", patience_seconds)
            self._child.kill("killed")
        await asyncio.wait([self._task], timeout=BURIAL_SECONDS)
        self.state = ChildState.DOWN

    def kill(self) -> None:
        """End the child at once: for the end of this process in disorder."""
        self._stop_asked.set()
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    async def _run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                reason, code = await self._one_life()
            except OSError as error:  # no memory or no processes left: perhaps later
                reason, code = f"cannot be started: {error}", None
            # A fault of ours while it was told what to do: the next one may fare better.
            except Exception:
                self._log.exception("a fault of the program")
                reason, code = "could not be told what to do", None
            if self._stop_asked.is_set():
                return
            # One that has worked has lost something since: memory, a device. It may come back.
            if code in HOPELESS_EXITS and not self._has_been_ready:
                self._give_up(reason)
                return
            await self._pause(reason)

    async def _one_life(self) -> tuple[str, int | None]:
        """Start a child, live with it, bury it: why it ended and its exit code."""
        self.state = ChildState.STARTING
        child = self._child = Child(self.spec.module, self._buffer_fd)
        try:
            await child.connect(self._log, self._on_message)
            self._log.debug("process %d", child.process.pid)
            self._events.started()
            if self._stop_asked.is_set():
                child.ask_to_quit()
            reason = await self._watch(child)
        finally:
            code = await child.bury()
            self._child = None
        if code and not self._stop_asked.is_set():
            for line in child.last_words:
                self._log.warning("%s", line)
        return _told(reason, code), code

    async def _watch(self, child: Child) -> str:
        """Wait until the child has ended or counts as hung; the reason."""
        last_tick = time.monotonic()
        while not child.has_ended:
            await child.wait(TICK_SECONDS)
            now = time.monotonic()
            child.silence_seconds += min(now - last_tick, MAX_TICK_SECONDS)
            last_tick = now
            if child.ready_since is not None and now - child.ready_since > HEALTHY_SECONDS:
                self._faults = 0
            limit = self._silence_limit_seconds()
            if child.silence_seconds > limit and not self._stop_asked.is_set():
                child.kill(f"hung: silent for {limit:g} s")
        return child.reason

    def _silence_limit_seconds(self) -> float:
        is_ready = self.state is ChildState.READY
        return self.spec.ready_silence_seconds if is_ready else self.spec.start_silence_seconds

    def _on_message(self, message: dict[str, Any], payload: bytes) -> None:
        if self._child is not None:
            self._child.silence_seconds = 0.0
        try:
            self._events.message(message, payload)
        # A fault of ours in one message must not cost the child, nor the messages that follow.
        except Exception:
            self._log.exception("its message %r could not be handled", message.get("type"))

    def _give_up(self, reason: str) -> None:
        self.state = ChildState.FAILED
        self._log.error("%s; not started again", reason)
        self._tell_stopped(reason, is_followed=False)

    async def _pause(self, reason: str) -> None:
        pause_seconds = PAUSES_SECONDS[min(self._faults, len(PAUSES_SECONDS) - 1)]
        self._faults += 1
        self.restarts += 1
        self.state = ChildState.RESTARTING
        again = "at once" if pause_seconds == 0 else f"in {pause_seconds:g} s"
        self._log.warning("%s; started again %s", reason, again)
        self._tell_stopped(reason, is_followed=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop_asked.wait(), pause_seconds)

    def _tell_stopped(self, reason: str, *, is_followed: bool) -> None:
        try:
            self._events.stopped(reason, is_followed)
        # A fault of ours must not keep the next child from its start.
        except Exception:
            self._log.exception("a fault of the program")


def _told(reason: str, code: int | None) -> str:
    """The reason with what the exit code adds to it."""
    if code is None:
        return f"{reason}, and cannot be killed"
    if code < 0:
        return f"{reason} ({signal.Signals(-code).name})"
    return f"{reason} (exit code {code})"
