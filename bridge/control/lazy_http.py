"""The HTTP server's port at once, and the server behind it as soon as its library is loaded.

Importing that library takes long enough to be heard of: the commands' sockets must not wait for
it. Who connects before waits in the socket's own queue.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.control.http_server import HttpServer

_BACKLOG = 64

_log = logging.getLogger("mgrt.http")


class LazyHttp:
    """Bind, then start. [control]"""

    def __init__(self, make: Callable[[], HttpServer]) -> None:
        """`make` is called in a thread of its own."""
        self._make = make
        self._sockets: list[socket.socket] = []
        self._task: asyncio.Task[None] | None = None
        self._server: HttpServer | None = None

    def bind(self, address: str, port: int) -> int:
        """Take a port; which one it is. Raises OSError if it is taken."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        listening.setblocking(False)
        self._sockets.append(listening)
        return int(listening.getsockname()[1])

    def start(self, osc_port: int) -> None:
        """Begin to load, and to answer once that is done."""
        self._task = asyncio.get_running_loop().create_task(self._start(osc_port))

    async def stop(self) -> None:
        """Close everything; what is still loading is left to itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._server is not None:
            await self._server.stop()
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    async def _start(self, osc_port: int) -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[HttpServer] = loop.create_future()
        # Of asyncio's own pool the end of the program would wait.
        threading.Thread(target=self._load, args=(loop, made), daemon=True).start()
        try:
            self._server = await made
            await self._server.start(self._sockets, osc_port)
        except Exception:
            _log.exception("HTTP cannot start; everything else works")

    def _load(self, loop: asyncio.AbstractEventLoop, made: asyncio.Future[HttpServer]) -> None:
        """[a thread of its own]"""
        result: HttpServer | Exception
        try:
            result = self._make()
        except Exception as error:
            result = error
        try:
            loop.call_soon_threadsafe(_settle, made, result)
        except RuntimeError:  # the loop has ended meanwhile
            _log.debug("HTTP was loaded too late")


def _settle(made: asyncio.Future[HttpServer], result: HttpServer | Exception) -> None:
    if made.done():  # cancelled
        return
    if isinstance(result, Exception):
        made.set_exception(result)
    else:
        made.set_result(result)
