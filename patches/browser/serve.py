"""The page for a browser and its way to the daemon. Start it, then open the address that it says.

    python serve.py [--port 9130]

A browser speaks neither OSC nor ZeroMQ. This serves the page, and carries the JSON arrays of the
daemon's ZeroMQ to and from the page's WebSocket as they are. It needs pyzmq and aiohttp, which are
there where the daemon is. The page may be opened before the daemon is started, or be left open.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zmq
import zmq.asyncio
from aiohttp import WSMsgType, web

PAGE: Final = Path(__file__).resolve().parent / "page"
LOOPBACK: Final = "127.0.0.1"
MAX_MESSAGE_BYTES: Final = 65536
# Heartbeats come once a second.
SILENCE_MS: Final = 3500
SEND_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Daemon:
    """Where its sockets are, and what to say when nobody is there."""

    commands: str
    events: str

    @property
    def absence(self) -> str:
        return f"nobody answers at {self.commands}: start the daemon with musicgen-rt jam"


class Line:
    """One page's own two sockets to the daemon."""

    def __init__(self, daemon: Daemon, context: zmq.asyncio.Context) -> None:
        self._daemon = daemon
        self._commands = context.socket(zmq.DEALER)
        # What is asked of a daemon that is away must not be done by the next one.
        self._commands.immediate = True
        self._commands.connect(daemon.commands)
        self._events = context.socket(zmq.SUB)
        self._events.subscribe(b"/mgrt/")
        self._events.connect(daemon.events)

    def close(self) -> None:
        self._commands.close(linger=0)
        self._events.close(linger=0)

    async def ask(self, command: str, page: web.WebSocketResponse) -> None:
        """Carry a command of the page, or tell it that nobody is there."""
        try:
            # Its events may be back a moment before the way for commands is.
            async with asyncio.timeout(SEND_SECONDS):
                await self._commands.send(command.encode())
        except TimeoutError:
            await page.send_json(["/fail", _address(command), self._daemon.absence])

    async def tell(self, page: web.WebSocketResponse) -> None:
        """Carry answers and events to the page for ever; say so when nothing comes."""
        poller = zmq.asyncio.Poller()
        poller.register(self._commands, zmq.POLLIN)
        poller.register(self._events, zmq.POLLIN)
        while True:
            ready = dict(await poller.poll(SILENCE_MS))
            for socket in ready:
                await page.send_str((await socket.recv_multipart())[-1].decode())
            if not ready:
                await page.send_json(["/fail", "/mgrt/heartbeat", self._daemon.absence])


def _address(command: str) -> str:
    """The address of a command that the page sent; empty if it is none."""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return str(json.loads(command)[0])
    return ""


def application(daemon: Daemon) -> web.Application:
    """The page at / and the way to the daemon at /line."""
    context = zmq.asyncio.Context()

    async def line(request: web.Request) -> web.WebSocketResponse:
        page = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, heartbeat=20)
        await page.prepare(request)
        line = Line(daemon, context)
        telling = asyncio.create_task(_until_gone(line.tell(page)))
        try:
            async for message in page:
                if message.type is WSMsgType.TEXT:
                    await line.ask(message.data, page)
        finally:
            telling.cancel()
            line.close()
        return page

    async def index(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html")

    app = web.Application(middlewares=[_only_own_page])
    app.add_routes([web.get("/", index), web.get("/line", line), web.static("/", PAGE)])
    return app


async def _until_gone(telling: Any) -> None:
    with contextlib.suppress(ConnectionError):
        await telling


@web.middleware
async def _only_own_page(request: web.Request, handler: Any) -> web.StreamResponse:
    """Any site may open a WebSocket to this machine: only our own page is let in."""
    own = f"http://{request.host}"
    if request.url.host not in (LOOPBACK, "localhost") or request.headers.get("Origin", own) != own:
        raise web.HTTPForbidden(text=f"expected a page of http://{LOOPBACK}")
    response: web.StreamResponse = await handler(request)
    return response


async def serve(daemon: Daemon, port: int) -> None:
    """Serve until cancelled. Raises OSError if the port is taken."""
    runner = web.AppRunner(application(daemon), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        print(f"open http://{LOOPBACK}:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the page that plays the daemon.")
    parser.add_argument("--port", type=int, default=9130, help="of the page; 0 takes a free one")
    parser.add_argument("--commands", default=f"tcp://{LOOPBACK}:9121")
    parser.add_argument("--events", default=f"tcp://{LOOPBACK}:9122")
    args = parser.parse_args()
    try:
        asyncio.run(serve(Daemon(args.commands, args.events), args.port))
    except (OSError, OverflowError, zmq.ZMQError) as error:
        sys.exit(f"cannot serve on port {args.port}: {error}; take another with --port")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
