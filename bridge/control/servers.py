"""All ways in from outside, started and stopped together."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.control.control_config import ControlConfig
from bridge.control.curve import CurveKeys
from bridge.control.dispatcher import Dispatcher
from bridge.control.inbox import Inbox
from bridge.control.lazy_http import LazyHttp
from bridge.control.subscriptions import Subscriptions
from bridge.control.tcp_server import TcpServer
from bridge.control.udp_server import UdpServer
from bridge.control.zmq_server import PCM_TOPIC, ZmqServer
from bridge.refusal import Refusal

if TYPE_CHECKING:
    from bridge.control.http_server import HttpServer

# UDP chooses a port that TCP then finds taken: so often another is tried.
_PORT_TRIALS = 20
# A machine may have no such address.
_NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENODEV, errno.EINVAL)

_log = logging.getLogger("mgrt.osc")


class ServerError(Exception):
    """A server cannot start. The message names the port, the reason and the fix."""


@dataclass(frozen=True)
class Ports:
    """The ports in use."""

    osc: int
    command: int
    publish: int
    http: int


class ControlServers:
    """OSC over UDP and TCP, ZeroMQ and HTTP. [control]"""

    def __init__(self, dispatcher: Dispatcher, config: ControlConfig) -> None:
        """Raises Refusal if the CURVE keys cannot be used."""
        self._dispatcher = dispatcher
        self._config = config
        self._keys = _curve_keys(config)
        counters, now_ns = dispatcher.counters, dispatcher.now_ns
        self._osc_inbox = Inbox(dispatcher.handle_osc, counters, now_ns)
        self._json_inbox = Inbox(dispatcher.handle_json, counters, now_ns)
        self._udp = UdpServer(self._osc_inbox)
        self._tcp = TcpServer(
            self._osc_inbox,
            dispatcher.forget,
            read_deadline_seconds=config.tcp_read_deadline_seconds,
            max_connections=config.max_connections,
        )
        self._zmq: ZmqServer | None = None
        self._http: LazyHttp | None = None

    async def start(self) -> Ports:
        """Listen everywhere; all or nothing. Raises ServerError."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything at once. Safe at any moment, also twice."""
        self._udp.stop()
        self._tcp.stop()
        self._dispatcher.delivery.publisher = None
        zmq, self._zmq = self._zmq, None
        http, self._http = self._http, None
        if zmq is not None:
            await zmq.stop()
        if http is not None:
            await http.stop()

    async def _start(self) -> Ports:
        config, delivery = self._config, self._dispatcher.delivery
        osc_port = await self._bind_osc()
        subscriptions = Subscriptions(PCM_TOPIC, self._dispatcher.want_pcm)
        self._zmq = zmq = ZmqServer(self._json_inbox, subscriptions, self._keys)
        command_port = self._bind("ZeroMQ commands", config.command_port, zmq.bind_commands)
        publish_port = self._bind("ZeroMQ events", config.publish_port, zmq.bind_events)
        delivery.add_transport("udp", self._udp)
        delivery.add_transport("tcp", self._tcp)
        delivery.add_transport("zmq", zmq)
        delivery.publisher = zmq
        self._udp.start()
        zmq.start()
        self._http = http = LazyHttp(self._make_http)
        http_port = self._bind("HTTP", config.http_port, http.bind)
        http.start(osc_port)
        return Ports(osc_port, command_port, publish_port, http_port)

    async def _bind_osc(self) -> int:
        """The same port for UDP and TCP on all addresses."""
        config = self._config
        for _ in range(_PORT_TRIALS):
            port = self._bind("OSC over UDP", config.osc_port, self._udp.bind)
            try:
                await self._listen("OSC over TCP", port, self._tcp.listen)
            except ServerError:
                self._udp.stop()
                if config.osc_port:
                    raise
            else:
                return port
        raise ServerError("no port is free for OSC over both UDP and TCP: close some programs")

    def _make_http(self) -> HttpServer:
        """[any] Takes a second at worst, since a library comes with it."""
        from bridge.control.http_server import HttpServer
        from bridge.control.oscquery import QueryTree
        from bridge.control.readout import values_of

        dispatcher = self._dispatcher
        state = dispatcher.session.state
        return HttpServer(
            self._config,
            dispatcher.access,
            QueryTree(lambda entry: values_of(state, entry)),
            view=dispatcher.view,
            metrics=self._metrics,
        )

    def _metrics(self) -> str:
        counters = self._dispatcher.counters
        counters.set("inbox", len(self._osc_inbox) + len(self._json_inbox))
        return self._dispatcher.metrics()

    def _bind(self, what: str, port: int, bind: Callable[[str, int], int]) -> int:
        """The port that was bound on all addresses."""
        for number, address in enumerate(self._config.addresses):
            try:
                port = bind(address, port)
            except OSError as error:
                self._require(what, address, port, error, is_first=number == 0)
        return port

    async def _listen(
        self, what: str, port: int, listen: Callable[[str, int], Awaitable[int]]
    ) -> int:
        for number, address in enumerate(self._config.addresses):
            try:
                port = await listen(address, port)
            except OSError as error:
                self._require(what, address, port, error, is_first=number == 0)
        return port

    def _require(
        self, what: str, address: str, port: int, error: OSError, *, is_first: bool
    ) -> None:
        """[within an exception's handler] Go on only without an address that is not here."""
        if not is_first and error.errno in _NO_ADDRESS:
            _log.debug("%s: not on %s: %s", what, address, error)
            return
        reason = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ServerError(
            f"{what}: port {port} of {address} cannot be used: {reason}. Another musicgen-rt may "
            "be running: `musicgen-rt send /mgrt/status` shows it, /mgrt/quit ends it; or choose "
            "other ports"
        ) from error


def _curve_keys(config: ControlConfig) -> CurveKeys | None:
    secret, clients = config.curve_secret_key_file, config.curve_client_keys_folder
    if secret is None and clients is None:
        return None
    if secret is None or clients is None:
        raise Refusal("CURVE needs both: the server's secret key and the folder of clients' keys")
    return CurveKeys(secret, clients)
