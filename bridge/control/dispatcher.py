"""Packets to requests, requests to the session, and its outcomes to children and clients.

Whatever a packet holds, the worst that can follow is a `/fail` and a number in /metrics.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from bridge.control.access import Access
from bridge.control.address_book import AddressBook
from bridge.control.bundle_queue import BundleQueue
from bridge.control.client import Client
from bridge.control.connections import Connections, OnMidiCommand
from bridge.control.control_config import ControlConfig
from bridge.control.counters import Counters
from bridge.control.delivery import Delivery
from bridge.control.json_message import decode_json
from bridge.control.local_clients import LocalClients
from bridge.control.loop_watch import LoopWatch
from bridge.control.message import Message, Value
from bridge.control.ntp import monotonic_from_ntp
from bridge.control.osc_decode import IMMEDIATELY, OscBundle, OscError, OscMessage, decode_packet
from bridge.control.outcome import Outcome
from bridge.control.packet_log import PacketLog
from bridge.control.position import Position
from bridge.control.rate_limit import Rate, RateLimit
from bridge.control.recording_log import RecordingLog
from bridge.control.reply_port import take_reply_port
from bridge.control.request import Request
from bridge.control.session import Session
from bridge.control.session_view import SessionView
from bridge.control.subscribers import Subscribers
from bridge.entry import Entry
from bridge.refusal import Refusal, shown
from musicgen_rt.contract.timeline import Timeline

# What is sound is given to the engine so long before it is to be heard, since it takes time to
# make; all else is done when its time has come.
AHEAD_NS = 400_000_000
# These are answered with more than was asked.
_COSTLY = Rate(per_second=20, burst=80)
_COSTLY_PATHS = ("notify", "refresh", "auth")
# What gen/panic drops if it came before and still waits to be read. Prompts stay.
_DROPPED_GROUPS = ("attr", "bank", "gen", "melody", "param", "song")

_log = logging.getLogger("mgrt.osc")


class Dispatcher:
    """The one way in. All methods belong to the event loop's thread. [control]"""

    def __init__(
        self,
        session: Session,
        *,
        position: Callable[[], Position],
        to_engine: Callable[[dict[str, Any]], None],
        to_playout: Callable[[dict[str, Any]], None],
        on_quit: Callable[[], None],
        config: ControlConfig,
        now_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`to_engine` and `to_playout` must not block; they may drop what no child can take."""
        self.session = session
        self.counters = Counters()
        self.subscribers = Subscribers(config.lease_seconds, config.max_clients)
        self.delivery = Delivery(self.subscribers, self.counters)
        self.access = Access(config.token, config.lease_seconds)
        self.waiting: BundleQueue[Request] = BundleQueue()
        self.on_midi_command: OnMidiCommand | None = None
        self.is_dumping = False
        self.now_ns = now_ns
        self._position = position
        self._to_engine = to_engine
        self._to_playout = to_playout
        self._on_quit = on_quit
        self._wall_ns = wall_ns
        self._connections = Connections(self)
        self._packet_log = PacketLog(_log)
        self._addresses = AddressBook()
        self._costly = RateLimit(_COSTLY)
        self._local = LocalClients(_log)
        self._watch = LoopWatch(now_ns)
        self._panicked_ns = 0
        self._recording_log = RecordingLog()
        self.delivery.add_transport("local", self._local)

    # What comes in

    def handle_osc(self, data: bytes, client: Client, received_ns: int | None = None) -> None:
        """Execute an OSC packet, which came now or earlier. A malformed one is only counted."""
        try:
            packet = decode_packet(data)
        except OscError as error:
            self._malformed(client, str(error))
            return
        self._packet(packet, client, received_ns or self.now_ns(), None)

    def handle_json(self, data: bytes, client: Client, received_ns: int | None = None) -> None:
        """Execute a JSON array of an address and its arguments, which came now or earlier."""
        try:
            address, args = decode_json(data)
        except Refusal as refusal:
            self._malformed(client, str(refusal))
            self._fail(client, "", str(refusal))
            return
        self._message(address, args, client, received_ns or self.now_ns(), None)

    def local(
        self,
        address: str,
        *args: Any,
        client_name: str = "local",
        reply: Callable[[Message], None] | None = None,
    ) -> None:
        """Execute a command of this process: MIDI, the scene. By default refusals are logged."""
        client = self._local.client(client_name, reply)
        self._message(address, args, client, self.now_ns(), None)

    def release(self, client_name: str) -> None:
        """A local client has gone: what it held is let go."""
        self.forget(self._local.client(client_name, None))
        self._local.forget(client_name)

    def forget(self, client: Client) -> None:
        """A client has gone: its lease ends, its notes are let go."""
        self.subscribers.forget(client)
        self.access.forget(client)
        self._deliver(self.session.release(client))

    def announce(self, address: str, *args: Value) -> None:
        """Tell all subscribers of an event of the protocol's table."""
        self.delivery.event(Message(address, args))

    # The child processes

    def engine_start(self) -> dict[str, Any]:
        """The session's part of the engine's first message."""
        return self.session.engine_start()

    def playout_start(self) -> dict[str, Any]:
        """The session's part of the playout's first message."""
        return self.session.playout_start()

    def from_engine(self, message: Mapping[str, Any], payload: bytes = b"") -> None:
        """Take a message of the engine."""
        self._deliver(self.session.on_engine(message, self._position(), self.now_ns()))

    def from_playout(self, message: Mapping[str, Any], payload: bytes = b"") -> None:
        """Take a message of the playout."""
        self._deliver(self.session.on_playout(message, payload, self._position(), self.now_ns()))

    def engine_lost(self, reason: str) -> None:
        """The engine has ended."""
        self.counters.add("engine_restarts_total")
        self._deliver(self.session.engine_lost(reason))

    def playout_lost(self, reason: str) -> None:
        """The playout has ended."""
        self.counters.add("playout_restarts_total")
        self._deliver(self.session.playout_lost(reason))

    def want_pcm(self, is_wanted: bool) -> None:
        """Somebody listens to the PCM stream, or nobody does any more."""
        self._deliver(self.session.want_pcm(is_wanted))

    # Time

    def tick(self) -> None:
        """Do what is due. Call it every 5 to 10 ms."""
        self._watch.turn()
        now_ns = self.now_ns()
        self._run_due(now_ns)
        for client in self.subscribers.take_expired(now_ns):
            self.forget(client)
        self._deliver(self.session.tick(self._position(), now_ns))

    def view(self) -> SessionView:
        """How it is going."""
        return self.session.view(self._position(), self.now_ns())

    def heard(self) -> tuple[Timeline, Position, int]:
        """Timeline, position, and the moment that they are of."""
        return self.session.timeline, self._position(), self.now_ns()

    def metrics(self) -> str:
        """All numbers in Prometheus' text format."""
        view, counters = self.view(), self.counters
        counters.set("clients", len(self.subscribers))
        counters.set("scheduled", len(self.waiting))
        counters.set("coalesced_total", self.session.owed.coalesced)
        counters.set("late_total", self.session.late_count)
        counters.set("underruns_total", view.underruns)
        counters.set("fallback", view.is_fallback)
        counters.set("lead_seconds", view.lead_ms / 1000)
        counters.set("steps_per_second", view.steps_per_second)
        counters.set("latency_p50_seconds", view.latency_p50_ms / 1000)
        counters.set("latency_p95_seconds", view.latency_p95_ms / 1000)
        counters.set("peak_dbfs", view.peak_db)
        counters.set("loop_gap_max_seconds", self._watch.gap_seconds)
        counters.set("loop_busy_max_seconds", self._watch.busy_seconds)
        return counters.text()

    # Packets to requests

    def _packet(
        self, packet: OscMessage | OscBundle, client: Client, received_ns: int, due_ns: int | None
    ) -> None:
        if isinstance(packet, OscMessage):
            self._message(packet.address, packet.args, client, received_ns, due_ns)
            return
        if packet.time_tag != IMMEDIATELY:
            tag_ns = monotonic_from_ntp(
                packet.time_tag, wall_ns=self._wall_ns(), now_ns=self.now_ns()
            )
            # A bundle within another is not for an earlier time than that.
            due_ns = tag_ns if due_ns is None else max(due_ns, tag_ns)
        for element in packet.elements:
            self._packet(element, client, received_ns, due_ns)

    def _message(
        self,
        address: str,
        args: tuple[Any, ...],
        client: Client,
        received_ns: int,
        due_ns: int | None,
    ) -> None:
        self.counters.add("messages_total")
        now_ns = self.now_ns()
        try:
            client, args = take_reply_port(client, args)
            client = self.subscribers.heard_of(client, now_ns)
            if self.is_dumping:
                line = f"{client} {address} {shown(args)}"
                self._packet_log.write(logging.INFO, "in", lambda: line, now_ns)
            for entry in self._addresses.entries(address, now_ns):
                self._require_access(entry, client, now_ns)
                request = Request(entry, entry.call(args), client, received_ns, due_ns)
                self._require_not_dropped(request)
                self._accept(request, now_ns)
        except Refusal as refusal:
            self._fail(client, address, str(refusal))
        # Of the listener's last defence: no packet may end it.
        except Exception:
            self._fault(client, address, now_ns)

    def _require_access(self, entry: Entry, client: Client, now_ns: int) -> None:
        if entry.path != "auth" and not self.access.permits(client, now_ns):
            raise Refusal("not let in: ask /mgrt/auth for a challenge, and answer it")
        if (
            entry.path in _COSTLY_PATHS
            and client.transport == "udp"
            and not self._costly.permits(client.host, now_ns)
        ):
            raise Refusal("too often: wait a second before asking for so much again")

    def _require_not_dropped(self, request: Request) -> None:
        """Panic overtakes what waits to be read, which would undo it."""
        entry = request.entry
        is_dropped = entry.is_control and entry.group in _DROPPED_GROUPS
        if is_dropped and request.received_ns < self._panicked_ns:
            raise Refusal("dropped: /mgrt/gen/panic came before it was done")

    def _accept(self, request: Request, now_ns: int) -> None:
        """Execute a request, or keep it until its time."""
        due_ns = request.time_tag_ns
        if due_ns is not None:
            ahead_ns = 0 if request.entry.when is None else AHEAD_NS
            if due_ns - ahead_ns > now_ns:
                self.waiting.push(due_ns, request, now_ns, ahead_ns)
                return
            # What has waited for an earlier time comes first.
            self._run_due(now_ns)
        self._execute(request, now_ns)

    def _run_due(self, now_ns: int) -> None:
        for request in self.waiting.pop_due(now_ns):
            try:
                self._execute(request, now_ns)
            except Refusal as refusal:
                self._fail(request.client, request.entry.address, str(refusal))
            except Exception:
                self._fault(request.client, request.entry.address, now_ns)

    def _execute(self, request: Request, now_ns: int) -> None:
        if request.entry.path.startswith("param/listen/"):
            self.subscribers.watch(request.client, now_ns)
        if self._connections.handles(request.entry.path):
            outcome = self._connections.execute(request, now_ns)
        else:
            outcome = self.session.execute(request, self._position(), now_ns)
            if outcome.is_clearing_schedule:
                self._panicked_ns = request.received_ns
        self._deliver(outcome)

    # What goes out

    def _deliver(self, outcome: Outcome) -> None:
        now_ns = self.now_ns()
        self._recording_log.take(outcome, self.session, self._position, now_ns)
        for message in outcome.engine:
            self._to_engine(message)
        for message in outcome.playout:
            self._to_playout(message)
        for reply in outcome.replies:
            self.delivery.reply(reply.client, reply.message, now_ns)
        for event in outcome.events:
            self.delivery.event(event)
        for header, payload in outcome.pcm:
            self.delivery.pcm(header, payload)
        if outcome.is_clearing_schedule:
            self.waiting.clear()
        if outcome.is_quit:
            self._on_quit()

    def _fail(self, client: Client, address: str, reason: str) -> None:
        self.delivery.reply(client, Message("/fail", (address, reason)), self.now_ns())

    def _malformed(self, client: Client, reason: str) -> None:
        self.counters.add("malformed_total")
        self._packet_log.write(
            logging.WARNING, "malformed", lambda: f"from {client}: {reason}", self.now_ns()
        )

    def _fault(self, client: Client, address: str, now_ns: int) -> None:
        """[within an exception's handler] A fault of ours; the music and the listener go on."""
        self.counters.add("handler_errors_total")
        self._packet_log.write(
            logging.ERROR, "a fault of the program", lambda: address, now_ns, with_traceback=True
        )
        self._fail(client, address, "a fault of the program: it goes on; the log says more")
