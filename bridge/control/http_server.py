"""HTTP, to read only: OSCQuery, /health for machines that watch, /metrics for Prometheus."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from bridge.control.access import Access
from bridge.control.control_config import ControlConfig, is_loopback
from bridge.control.oscquery import ATTRIBUTES, QueryTree, host_info
from bridge.control.session_view import SessionView

_MAX_REQUEST_BYTES = 4096
_STOP_SECONDS = 0.2
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}

Responder = Callable[[web.Request], web.StreamResponse]


class HttpServer:
    """One port of each address. [control]"""

    def __init__(
        self,
        config: ControlConfig,
        access: Access,
        tree: QueryTree,
        *,
        view: Callable[[], SessionView],
        metrics: Callable[[], str],
    ) -> None:
        self._config = config
        self._access = access
        self._tree = tree
        self._view = view
        self._metrics = metrics
        self._osc_port = config.osc_port
        app = web.Application(middlewares=[self._guard], client_max_size=_MAX_REQUEST_BYTES)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics_text)
        app.router.add_get("/{path:.*}", self._query)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_STOP_SECONDS,
            max_line_size=_MAX_REQUEST_BYTES,
            max_field_size=_MAX_REQUEST_BYTES,
            keepalive_timeout=15,
        )

    async def start(self, sockets: Iterable[socket.socket], osc_port: int) -> None:
        """Answer what connects to these listening sockets. HOST_INFO tells `osc_port`."""
        self._osc_port = osc_port
        await self._runner.setup()
        for listening in sockets:
            await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Close everything."""
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Nobody from beyond without the token, and no web page that a browser was tricked by."""
        if is_loopback(request.remote or ""):
            name = request.url.host or ""
            if name != "localhost" and not is_loopback(name):
                raise web.HTTPForbidden(text="expected localhost or its address as the host")
        else:
            kind, _, token = request.headers.get("Authorization", "").partition(" ")
            if kind != "Bearer" or not self._access.has_token(token.strip()):
                raise web.HTTPUnauthorized(text="expected the token", headers=_CHALLENGE)
        response: web.StreamResponse = await handler(request)
        return response

    async def _health(self, request: web.Request) -> web.Response:
        view = self._view()
        status = "failed" if view.phase == "failed" else "degraded" if view.is_fallback else "ok"
        if view.phase == "loading":
            status = "loading"
        code = 200 if status in ("ok", "degraded") else 503
        return _json({"status": status, **asdict(view)}, code)

    async def _metrics_text(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics().encode(), headers={"Content-Type": _METRICS_TYPE})

    async def _query(self, request: web.Request) -> web.Response:
        attribute = next(iter(request.query), None)
        if attribute == "HOST_INFO":
            return _json(host_info(self._config.name, self._osc_port))
        node = self._tree.node(request.path)
        if node is None:
            raise web.HTTPNotFound(text=f"nothing at {request.path[:100]!r}")
        if attribute is None:
            return _json(node)
        if attribute not in ATTRIBUTES:
            known = ", ".join(ATTRIBUTES)
            raise web.HTTPBadRequest(text=f"attribute {attribute[:40]!r}: expected one of {known}")
        if attribute not in node:
            return web.Response(status=204)
        return _json({attribute: node[attribute]})


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)
