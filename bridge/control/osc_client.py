"""A blocking OSC client for the command line: one daemon, over UDP."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from bridge.control.access import answer_to
from bridge.control.osc_decode import (
    MAX_PACKET_BYTES,
    OscBundle,
    OscError,
    OscMessage,
    decode_packet,
)
from bridge.control.osc_encode import encode_message


class NoAnswerError(Exception):
    """Nobody answers. The message says what to try."""


class OscClient:
    """A socket that talks to one address only. Use it as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        """Raises NoAnswerError for a host that is not found."""
        self._name = f"{host}:{port}"
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM
            )[0]
        except OSError as error:
            raise NoAnswerError(f"{host} is not found: {error}") from error
        self._socket = socket.socket(family, kind, protocol)
        # Connected, it hears of a port where nobody listens, and of nobody else.
        self._socket.connect(address)

    def __enter__(self) -> OscClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, address: str, *args: object) -> None:
        """Send one message. Raises NoAnswerError if nobody listens there."""
        try:
            self._socket.send(encode_message(address, args))
        except OSError as error:
            raise self._no_answer() from error

    def receive(self, seconds: float) -> OscMessage | None:
        """The next message, None if there is none in time. Raises NoAnswerError."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                packet = decode_packet(self._socket.recv(MAX_PACKET_BYTES))
            except TimeoutError:
                return None
            except OscError:
                continue
            except OSError as error:
                raise self._no_answer() from error
            if not isinstance(packet, OscBundle):
                return packet
        return None

    def ask(self, address: str, *args: object, seconds: float) -> Iterator[OscMessage]:
        """Send a command; every message that comes until all of it is answered.

        Raises NoAnswerError if that takes longer.
        """
        self.send(address, *args)
        # It is answered when everything before it is, however many answers that is.
        self.send("/mgrt/sync", 1)
        end = time.monotonic() + seconds
        while (message := self.receive(max(0.0, end - time.monotonic()))) is not None:
            if message.address == "/mgrt/synced" and address != "/mgrt/sync":
                return
            yield message
            if message.address == "/mgrt/synced" or _is_end(message, address):
                return
        raise self._no_answer(seconds)

    def prove(self, token: str, seconds: float) -> None:
        """Show to know the token. Raises NoAnswerError if it is not believed."""
        self.send("/mgrt/auth")
        challenge = self.receive(seconds)
        if challenge is None or challenge.address != "/mgrt/auth.challenge":
            raise self._no_answer(seconds)
        self.send("/mgrt/auth", answer_to(str(challenge.args[0]), token))
        answer = self.receive(seconds)
        if answer is None or answer.address != "/done":
            reason = answer.args[-1] if answer is not None else "no answer"
            raise NoAnswerError(f"{self._name} does not let us in: {reason}")

    def _no_answer(self, seconds: float | None = None) -> NoAnswerError:
        if seconds is None:
            return NoAnswerError(
                f"nobody listens at {self._name}: start the daemon with `musicgen-rt jam`, or name "
                "its port with --port"
            )
        return NoAnswerError(
            f"no answer from {self._name} in {seconds:g} s: look at the daemon's log, or wait "
            "longer with --timeout"
        )


def _is_end(message: OscMessage, address: str) -> bool:
    """Whether nothing more will come: it is ending, or even the sync is refused."""
    if message.address == "/done":
        return address == "/mgrt/quit"
    return message.address == "/fail" and message.args[:1] == ("/mgrt/sync",)
