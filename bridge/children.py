"""The two child processes and the buffer between them: who is told what, and what it means."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.child_news import Urgency, news_of
from bridge.config import Config
from bridge.control.position import Position
from bridge.model_format import ModelFormat, find_format
from bridge.start_messages import engine_start, playout_start
from bridge.supervisor import ChildEvents, ChildSpec, Supervisor

if TYPE_CHECKING:
    from bridge.control.dispatcher import Dispatcher
    from musicgen_rt.contract.buffer import TimelineBuffer

ENGINE_MODULE: Final = "musicgen_rt.live.worker"
PLAYOUT_MODULE: Final = "bridge.playout.process"

# Room for the longest lead of the protocol's table beside the history.
LEAD_ROOM_SECONDS: Final = 24.0
HISTORY_SECONDS: Final = 20.0
PLAYOUT_PATIENCE_SECONDS: Final = 1.0
ENGINE_PATIENCE_SECONDS: Final = 0.6

_LEVELS: Final = {
    Urgency.INFO: logging.INFO,
    Urgency.WARNING: logging.WARNING,
    Urgency.ERROR: logging.ERROR,
}


class Children:
    """Engine, playout and timeline buffer of one daemon. [control]"""

    def __init__(
        self,
        config: Config,
        model_format: ModelFormat,
        resume_folder: Path,
        *,
        on_hopeless: Callable[[str], None],
    ) -> None:
        """`on_hopeless` is told when model or output have never worked and never will."""
        self._config = config
        self._on_hopeless = on_hopeless
        self._on_model: Callable[[], None] = lambda: None
        self._has_played = self._has_sounded = False
        self.format = model_format
        self._resume_folder = resume_folder
        self._dispatcher: Dispatcher | None = None
        self._buffer: TimelineBuffer | None = None
        self.engine: Supervisor | None = None
        self.playout: Supervisor | None = None
        self._change: asyncio.Task[None] | None = None

    def start(self, dispatcher: Dispatcher, *, on_model: Callable[[], None]) -> None:
        """Create the buffer and start both. Raises OSError without memory for it.

        `on_model` is called as soon as an engine is ready.
        """
        self._dispatcher, self._on_model = dispatcher, on_model
        shutil.rmtree(self._resume_folder, ignore_errors=True)
        self._resume_folder.mkdir(mode=0o700, parents=True)
        self._start_on_new_buffer()

    def to_engine(self, message: Mapping[str, Any]) -> None:
        """Send to the engine, if there is one: a new one is told everything at its start."""
        if self.engine is not None:
            self.engine.send(message)

    def to_playout(self, message: Mapping[str, Any]) -> None:
        """Send to the playout, if there is one."""
        if self.playout is not None:
            self.playout.send(message)

    def position(self) -> Position:
        """Where the music stands now."""
        if self._buffer is None:
            return Position(self.format.sample_rate_hz, self.format.hop_samples)
        now = self._buffer.snapshot()
        is_known = now.dac_sample is not None and now.dac_time_ns is not None
        return Position(
            sample_rate_hz=self.format.sample_rate_hz,
            hop_samples=self.format.hop_samples,
            reader_sample=now.reader_sample,
            commit_sample=now.commit_sample,
            stretch_start=now.stretch_start,
            written_end=now.written_end,
            dac_sample=round(now.dac_sample or 0) if is_known else 0,
            dac_time_ns=now.dac_time_ns or 0 if is_known else 0,
            is_moving=now.state.name in ("LIVE", "FALLBACK") and self._playout_lives(),
        )

    async def stop(self) -> None:
        """End both at once, and remove what they left.

        The playout gets the time to fade out and close its files; the engine has none to lose.
        """
        if self._change is not None:
            self._change.cancel()
        both = ((self.playout, PLAYOUT_PATIENCE_SECONDS), (self.engine, ENGINE_PATIENCE_SECONDS))
        for one, _ in both:
            if one is not None:
                one.ask_to_quit()
        await asyncio.gather(*(one.stop(seconds) for one, seconds in both if one is not None))
        self.clean_up()

    def kill(self) -> None:
        """End both without a word: the end in disorder."""
        for one in (self.playout, self.engine):
            if one is not None:
                one.kill()
        self.clean_up()

    def clean_up(self) -> None:
        """Remove the engine's snapshots: they are of no use to another daemon."""
        shutil.rmtree(self._resume_folder, ignore_errors=True)

    def _start_on_new_buffer(self) -> None:
        # numpy comes with it, for which the servers' first answer must not wait.
        from musicgen_rt.contract.buffer import TimelineBuffer

        rate_hz = self.format.sample_rate_hz
        capacity = round((HISTORY_SECONDS + LEAD_ROOM_SECONDS) * rate_hz)
        history = round(HISTORY_SECONDS * rate_hz)
        self._buffer = TimelineBuffer.create(rate_hz, self.format.channels, capacity, history)
        limits = self._config.supervision
        self.playout = Supervisor(
            ChildSpec(
                "playout", PLAYOUT_MODULE, limits.playout_start_seconds, limits.playout_seconds
            ),
            ChildEvents(self._playout_started, self._from_playout, self._playout_stopped),
            self._buffer.fd,
        )
        self.engine = Supervisor(
            ChildSpec("engine", ENGINE_MODULE, limits.engine_load_seconds, limits.engine_seconds),
            ChildEvents(self._engine_started, self._from_engine, self._engine_stopped),
            self._buffer.fd,
        )
        self.engine.start()
        self.playout.start()

    def _playout_lives(self) -> bool:
        return self.playout is not None and self.playout.pid is not None

    def _engine_started(self) -> None:
        assert self.engine is not None and self._dispatcher is not None
        state = self._dispatcher.engine_start()
        is_resume = self.engine.restarts > 0
        start = engine_start(self._config, state, self._resume_folder, is_resume=is_resume)
        self.engine.send(start)

    def _playout_started(self) -> None:
        assert self.playout is not None and self._dispatcher is not None
        state = self._dispatcher.playout_start()
        is_again = self.playout.restarts > 0
        self.playout.send(playout_start(self._config, state, self.format, is_again=is_again))

    def _from_engine(self, message: dict[str, Any], payload: bytes) -> None:
        assert self.engine is not None and self._dispatcher is not None
        if message["type"] == "ready":
            self.engine.mark_ready()
            self._has_played = True
        _tell("engine", message)
        self._dispatcher.from_engine(message, payload)
        if message["type"] == "ready":
            self._on_model()

    def _from_playout(self, message: dict[str, Any], payload: bytes) -> None:
        assert self.playout is not None and self._dispatcher is not None
        if message["type"] == "ready":
            self.playout.mark_ready()
            self._has_sounded = True
        _tell("playout", message)
        self._dispatcher.from_playout(message, payload)

    def _engine_stopped(self, reason: str, is_followed: bool) -> None:
        assert self._dispatcher is not None
        self._dispatcher.engine_lost(reason)
        if is_followed:
            return
        # A checkpoint that came from the hub only now can have another format than was guessed.
        found = find_format(self._config.model.source)
        if found is not None and found != self.format:
            self._change = asyncio.get_running_loop().create_task(self._start_again_as(found))
        elif not self._has_played:
            self._on_hopeless(reason)

    def _playout_stopped(self, reason: str, is_followed: bool) -> None:
        assert self._dispatcher is not None
        self._dispatcher.playout_lost(reason)
        if not is_followed and not self._has_sounded:  # a file that cannot be written, say
            self._on_hopeless(reason)

    async def _start_again_as(self, found: ModelFormat) -> None:
        assert self.playout is not None
        await self.playout.stop(PLAYOUT_PATIENCE_SECONDS)
        if self._buffer is not None:
            self._buffer.close()
        self.format = found
        self._start_on_new_buffer()


def _tell(part: str, message: Mapping[str, Any]) -> None:
    news = news_of(part, message)
    if news is not None:
        fields = {name: value for name, value in message.items() if name != "type"}
        event = {"name": message["type"], **fields}
        logging.getLogger(f"mgrt.{part}").log(
            _LEVELS[news.urgency], "%s", news.text, extra={"event": event}
        )
