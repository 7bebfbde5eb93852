"""The servers on real sockets of this machine, over a session whose children answer at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bridge.control.control_config import ControlConfig
from bridge.control.dispatcher import Dispatcher
from bridge.control.position import Position
from bridge.control.servers import ControlServers, Ports
from bridge.control.session import Session
from bridge.control.session_config import SessionConfig
from tests.bridge.control.rig import READY

TICK_SECONDS = 0.005
PATIENCE_SECONDS = 60.0

Result = TypeVar("Result")


class LiveServers:
    """Servers on ports that the system chose, in a thread of their own."""

    def __init__(self, folder: Path, **config: Any) -> None:
        ports: dict[str, Any] = {
            f"{name}_port": 0 for name in ("osc", "command", "publish", "http")
        }
        self.config = ControlConfig(**ports, **config)
        self.session = Session(
            SessionConfig(
                inputs_folder=folder / "inputs",
                recordings_folder=folder / "recordings",
                banks_folder=folder / "banks",
                prompts=(("deep house", 1.0),),
            )
        )
        self.commands: list[dict[str, Any]] = []
        self.quit_asked = threading.Event()
        self.ports = Ports(0, 0, 0, 0)
        self.dispatcher: Dispatcher
        self.servers: ControlServers
        self._loop: asyncio.AbstractEventLoop
        self._started = threading.Event()
        self._stop: asyncio.Event
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LiveServers:
        self._thread.start()
        assert self._started.wait(PATIENCE_SECONDS)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], Result]) -> Result:
        """Run a function where the servers run; what it returns."""

        async def run() -> Result:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE_SECONDS)

    def metric(self, name: str) -> float:
        """A number of /metrics."""
        text = self.call(self.servers._metrics)
        (line,) = (one for one in text.splitlines() if one.startswith(f"mgrt_{name} "))
        return float(line.split()[1])

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something holds that is looked at where the servers run."""

        async def wait() -> None:
            while not condition():
                await asyncio.sleep(TICK_SECONDS)

        asyncio.run_coroutine_threadsafe(asyncio.wait_for(wait(), seconds), self._loop).result(
            2 * seconds
        )

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.dispatcher = Dispatcher(
            self.session,
            position=lambda: Position(commit_sample=6400, reader_sample=6400, written_end=70_400),
            to_engine=self._to_engine,
            to_playout=lambda message: None,
            on_quit=self.quit_asked.set,
            config=self.config,
        )
        self.dispatcher.engine_start()
        self.dispatcher.from_engine(READY)
        self.servers = ControlServers(self.dispatcher, self.config)
        try:
            self.ports = await self.servers.start()
        except Exception as error:
            self._failure = error
            return
        finally:
            self._started.set()
        ticking = asyncio.create_task(self._tick())
        await self._stop.wait()
        ticking.cancel()
        await self.servers.stop()
        await self.servers.stop()  # which must do no harm

    async def _tick(self) -> None:
        while True:
            self.dispatcher.tick()
            await asyncio.sleep(TICK_SECONDS)

    def _to_engine(self, message: dict[str, Any]) -> None:
        if message["type"] == "command":
            self.commands.append(message)
            answer = {"type": "applied", "id": message["id"], "frame": 11}
            self._loop.call_soon(self.dispatcher.from_engine, answer)
