"""Commands about the client's own connection, which concern no music."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bridge.control.control_config import is_loopback
from bridge.control.message import Value
from bridge.control.outcome import Outcome
from bridge.control.request import Request
from bridge.refusal import Refusal

if TYPE_CHECKING:
    from bridge.control.dispatcher import Dispatcher

# "learn", "forget", "panic" or "list" and its arguments to the values of the reply; raises Refusal.
OnMidiCommand = Callable[[str, tuple[Any, ...]], tuple[Value, ...]]


class Connections:
    """Subscriptions, proofs, waiting bundles, and what is handed on to MIDI. [control]"""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._handlers: dict[str, Callable[..., tuple[Value, ...]]] = {
            "notify": self._notify,
            "dump_osc": self._dump,
            "clear_sched": self._clear,
            "auth": self._auth,
        }

    def handles(self, path: str) -> bool:
        """Whether it is one of these."""
        return path in self._handlers or path.startswith("midi/")

    def execute(self, request: Request, now_ns: int) -> Outcome:
        """Carry out a request. Raises Refusal."""
        entry, outcome = request.entry, Outcome()
        if entry.group == "midi":
            values = self._midi(entry.path.removeprefix("midi/"), request.call.args)
        else:
            values = self._handlers[entry.path](request, now_ns, *request.call.args)
        is_proof = entry.path == "auth" and request.call.args[0] is not None
        if entry.answer.path is None or is_proof:
            outcome.reply(request.client, "/done", entry.address, *values)
        else:
            outcome.reply(request.client, entry.answer.address, *values)
        if entry.path == "notify" and request.call.args[0]:
            client = self._dispatcher.subscribers.heard_of(request.client, now_ns)
            for message in self._dispatcher.session.state.all_messages():
                outcome.reply(client, message.address, *message.args)
        return outcome

    def _notify(
        self, request: Request, now_ns: int, is_on: bool, host: str | None, port: int | None
    ) -> tuple[Value, ...]:
        client, subscribers = request.client, self._dispatcher.subscribers
        if not self._dispatcher.delivery.can_push(client):
            raise Refusal("this socket answers once a request: subscribe to the PUB socket instead")
        if not is_on:
            return subscribers.unsubscribe(client), 0.0
        if host is not None and not _is_same_host(host, client.host):
            raise Refusal(
                f"host {host!r} is not yours: expected {client.host or 'no host'}; events are sent "
                "to nobody who did not ask"
            )
        if port is not None:
            client = client.replying_to(port)
        return subscribers.subscribe(client, now_ns), subscribers.lease_seconds

    def _dump(self, request: Request, now_ns: int, is_on: bool) -> tuple[Value, ...]:
        self._dispatcher.is_dumping = is_on
        return ()

    def _clear(self, request: Request, now_ns: int) -> tuple[Value, ...]:
        return (self._dispatcher.waiting.clear(),)

    def _auth(self, request: Request, now_ns: int, answer: str | None) -> tuple[Value, ...]:
        access = self._dispatcher.access
        if answer is None:
            return (access.challenge(request.client, now_ns),)
        try:
            access.answer(request.client, answer, now_ns)
        except Refusal:
            self._dispatcher.counters.add("auth_failures_total")
            raise
        return ()

    def _midi(self, name: str, args: tuple[Any, ...]) -> tuple[Value, ...]:
        handler = self._dispatcher.on_midi_command
        if handler is None:
            raise Refusal("there is no MIDI input here: it is switched off or not installed")
        return handler(name, args)


def _is_same_host(host: str, own_host: str) -> bool:
    if host == own_host:
        return True
    return is_loopback(own_host) and (host == "localhost" or is_loopback(host))
