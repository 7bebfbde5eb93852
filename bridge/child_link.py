"""The daemon's end of a child's pipe on the event loop, and of what the child prints."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, cast

from musicgen_rt.contract.pipe import Decoder, encode
from musicgen_rt.errors import ParameterError

# A child that has so much unread is hung, or as good as.
MAX_UNREAD_BYTES: Final = 1 << 23
_MAX_LINE_BYTES: Final = 4096
_LAST_LINES: Final = 12

_LEVELS: Final = {
    b"DEBUG": logging.DEBUG,
    b"INFO": logging.INFO,
    b"WARNING": logging.WARNING,
    b"ERROR": logging.ERROR,
}

OnMessage = Callable[[dict[str, Any], bytes], None]
OnEnd = Callable[[str], None]


class ChildLink(asyncio.Protocol):
    """Messages to and from one child. `on_end` is told once, with the reason. [control]"""

    def __init__(self, on_message: OnMessage, on_end: OnEnd) -> None:
        self._on_message = on_message
        self._on_end: OnEnd | None = on_end
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def over(cls, end: socket.socket, on_message: OnMessage, on_end: OnEnd) -> ChildLink:
        """The link over our end of a socket pair, which it owns from now on."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: cls(on_message, on_end), sock=end)
        return link

    def send(self, message: Mapping[str, Any]) -> bool:
        """Queue a message; False when the child has gone or no longer reads."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._end("does not read its messages")
            return False
        self._transport.write(encode(message))
        return True

    def close(self) -> None:
        """Forget the child: nothing is told any more."""
        self._on_end = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            for message, payload in self._decoder.feed(data):
                if self._on_end is None:
                    return
                self._on_message(message, payload)
        except ParameterError as error:
            self._end(f"sent nonsense ({error})")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._transport = None
        self._end("ended")

    def _end(self, reason: str) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(reason)


class ChildOutput(asyncio.Protocol):
    """What a child prints, as lines of the log. The level is the first word, if it is one.

    Libraries print much that no performer can act on: without a level it is for `--verbose`. The
    last lines are kept, since they tell why a child has died.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self.last_words: deque[str] = deque(maxlen=_LAST_LINES)
        self._line = bytearray()
        self._ended = asyncio.Event()
        self._transport: asyncio.ReadTransport | None = None

    @classmethod
    async def of(cls, pipe: IO[bytes], log: logging.Logger) -> ChildOutput:
        """Read `pipe` until it ends."""
        loop = asyncio.get_running_loop()
        transport, output = await loop.connect_read_pipe(lambda: cls(log), pipe)
        output._transport = transport
        return output

    async def close(self, seconds: float) -> None:
        """Read the last words of a child that has gone; they come within moments."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._line += data
        *lines, rest = self._line.split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            lines.append(rest)
            rest = bytearray()
        self._line = bytearray(rest)
        for line in lines:
            self._tell(line)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._tell(self._line)
        self._line = bytearray()
        self._ended.set()

    def _tell(self, line: bytes | bytearray) -> None:
        if not line.strip():
            return
        first, _, rest = bytes(line[:_MAX_LINE_BYTES]).strip().partition(b":")
        level = _LEVELS.get(first.strip())
        if level is not None:
            self._log.log(level, "%s", rest.decode(errors="replace").strip())
            return
        text = bytes(line[:_MAX_LINE_BYTES]).decode(errors="replace").rstrip()
        self.last_words.append(text)
        self._log.debug("%s", text)
