"""The daemon: starts everything, keeps it running, and ends it in order. The only place that
creates processes.

The order of the start matters: the lock, then the sockets, which answer from then on, and only then
what takes time. The end has a deadline that holds whatever hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Final, TextIO

from bridge.children import Children
from bridge.clock.host_sources import host_sources
from bridge.clock.lead import MidiLead
from bridge.clock.midi import MidiFeed
from bridge.clock.source import ClockSources
from bridge.config import Config
from bridge.control.dispatcher import Dispatcher
from bridge.control.servers import ControlServers, Ports, ServerError
from bridge.control.session import Session
from bridge.live_view import LiveView
from bridge.lock import AlreadyRunningError, DaemonLock, runtime_folder
from bridge.log import LogSetup
from bridge.midi_commands import MidiCommands
from bridge.model_format import ModelFormat, find_format
from bridge.refusal import Refusal
from bridge.scene import Scene
from bridge.settings import NetworkConfig
from bridge.start_messages import control_config, session_config
from bridge.terminal import Terminal
from musicgen_rt.errors import MusicgenRTError

# Exit codes; those that have a name in sysexits.h have its number.
OK: Final = 0
MISUSED: Final = 2
UNAVAILABLE: Final = 69
SOFTWARE_ERROR: Final = 70
ALREADY_RUNNING: Final = 75

DEFAULT_OSC_PORT: Final = NetworkConfig().osc_port

TICK_SECONDS: Final = 0.01
VIEW_SECONDS: Final = 0.125
LEAD_SECONDS: Final = 0.05
# The end in order takes less; after this the process ends by force.
END_SECONDS: Final = 1.8

_log = logging.getLogger("mgrt.daemon")


def run_daemon(config: Config, *, stream: TextIO | None = None) -> int:
    """Run a daemon until it is asked to end; the exit code."""
    terminal = Terminal(sys.stderr if stream is None else stream)
    try:
        logs = LogSetup(terminal.line, config.log.json_file, is_verbose=config.log.is_verbose)
    except OSError as error:
        terminal.line(f"musicgen-rt: error: {config.log.json_file}: {error.strerror}")
        terminal.close()
        return UNAVAILABLE
    daemon = None
    try:
        with DaemonLock(config.network.osc_port):
            daemon = Daemon(config, terminal)
            return asyncio.run(daemon.run())
    except AlreadyRunningError as error:
        _log.error("%s", error)
        return ALREADY_RUNNING
    except (ServerError, OSError) as error:
        _log.error("%s", error)
        return UNAVAILABLE
    except (MusicgenRTError, Refusal) as error:
        _log.error("%s", error)
        return MISUSED
    finally:
        logs.close()
        terminal.close()
        if daemon is not None:
            daemon.disarm()


class Daemon:
    """One run. All methods belong to the [control] thread unless they say otherwise."""

    def __init__(self, config: Config, terminal: Terminal) -> None:
        self._config = config
        self._terminal = terminal
        self._format = find_format(config.model.source) or ModelFormat()
        # With a port that the system chooses nobody else can come by the same folder.
        name = f"resume-{config.network.osc_port or f'process-{os.getpid()}'}"
        self._children = Children(
            config, self._format, runtime_folder() / name, on_hopeless=self._on_hopeless
        )
        self._end_asked = asyncio.Event()
        self._exit_code = OK
        self._deadline: threading.Timer | None = None

    async def run(self) -> int:
        """Start, wait for the end, end. Raises ServerError, Refusal, OSError if it cannot start."""
        self._take_signals()
        try:
            await self._play()
        finally:
            self._children.kill()
        return self._exit_code

    def disarm(self) -> None:
        """All has ended in order: nothing is left for the deadline to do."""
        if self._deadline is not None:
            self._deadline.cancel()

    async def _play(self) -> None:
        config = self._config
        feed = MidiFeed()
        session = Session(session_config(config, self._format), _sources(config, feed))
        servers_config = control_config(config)
        dispatcher = Dispatcher(
            session,
            position=self._children.position,
            to_engine=self._children.to_engine,
            to_playout=self._children.to_playout,
            on_quit=lambda: self._ask_to_end("asked to quit"),
            config=servers_config,
        )
        servers = ControlServers(dispatcher, servers_config)
        midi = MidiCommands(config.midi, dispatcher, feed)
        dispatcher.on_midi_command = midi.do
        tasks: list[asyncio.Task[None]] = []
        lead: MidiLead | None = None
        try:
            ports = await servers.start()
            self._tell_ports(ports)
            scene = Scene(config.scene.commands, dispatcher)
            self._children.start(dispatcher, on_model=scene.model_is_there)
            midi.start()
            view = LiveView(self._terminal, config.log, _footer(ports))
            if config.midi.clock_out:
                lead = MidiLead(dispatcher, config.midi.api, config.midi.clock_port)
            tasks = [
                _every(TICK_SECONDS, dispatcher.tick),
                _every(TICK_SECONDS, midi.tick),
                _every(VIEW_SECONDS, lambda: view.show(dispatcher.view())),
            ]
            if lead is not None:
                tasks.append(_every(LEAD_SECONDS, lead.tick))
            await self._end_asked.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(self._children.stop(), servers.stop())
            midi.stop()
            session.clock.source.stop()
            if lead is not None:
                lead.stop()
            _log.info("ended")

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name)
            # One that is ignored (nohup) stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal, name)

    def _on_signal(self, name: str) -> None:
        if self._end_asked.is_set():  # whoever asks twice wants it now
            self._end_by_force()
        self._ask_to_end(f"got {name}")

    def _ask_to_end(self, reason: str) -> None:
        if self._end_asked.is_set():
            return
        _log.info("%s: ending", reason)
        self._end_asked.set()
        self._deadline = threading.Timer(END_SECONDS, self._end_by_force)
        self._deadline.daemon = True
        self._deadline.start()

    def _on_hopeless(self, reason: str) -> None:
        """Model or output have never worked and never will: nothing is left to wait for."""
        self._exit_code = UNAVAILABLE
        self._ask_to_end(reason)

    def _end_by_force(self) -> None:
        """[deadline] Something hangs: no child may stay, and the process must not either."""
        self._children.kill()
        os._exit(SOFTWARE_ERROR)

    def _tell_ports(self, ports: Ports) -> None:
        host = self._config.network.host
        _log.info(
            "OSC to %s:%d (UDP and TCP), ZeroMQ to %d, events and PCM from %d, HTTP %d",
            host,
            ports.osc,
            ports.command,
            ports.publish,
            ports.http,
            extra={"event": {"name": "listening", **asdict(ports)}},
        )
        port = "" if ports.osc == DEFAULT_OSC_PORT else f" --port {ports.osc}"
        _log.info('try: musicgen-rt send%s /mgrt/prompt/set 0 "dub techno, deep chords"', port)


def _sources(config: Config, feed: MidiFeed) -> ClockSources:
    return host_sources(feed, is_jack_midi=config.midi.api == "jack")


def _footer(ports: Ports) -> str:
    return (
        f"OSC {ports.osc}  ZeroMQ {ports.command}/{ports.publish}  HTTP {ports.http}  Ctrl-C ends"
    )


def _every(seconds: float, function: Callable[[], None]) -> asyncio.Task[None]:
    """Call a function again and again; what it raises is told and does not end it."""

    async def repeat() -> None:
        while True:
            try:
                function()
            # The last line of defence: the music must not end with a fault of ours.
            except Exception:
                _log.exception("a fault of the program; it goes on")
            await asyncio.sleep(seconds)

    return asyncio.get_running_loop().create_task(repeat())
