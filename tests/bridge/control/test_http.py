"""HTTP: OSCQuery, /health, /metrics, and who may ask."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bridge.control.access import Access
from bridge.control.http_server import HttpServer
from bridge.control.oscquery import QueryTree
from bridge.protocol import COMMANDS, OUTGOING
from tests.bridge.control.live_servers import PATIENCE_SECONDS, LiveServers

TOKEN = "correct horse battery"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServers]:
    with LiveServers(tmp_path_factory.mktemp("live")) as servers:
        yield servers


def get(live: LiveServers, path: str, **headers: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{live.ports.http}{path}"
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def get_json(live: LiveServers, path: str) -> Any:
    status, body = get(live, path)
    assert status == 200, body
    return json.loads(body)


def test_host_info(live: LiveServers) -> None:
    info = get_json(live, "/?HOST_INFO")
    assert info["OSC_PORT"] == live.ports.osc
    assert info["OSC_TRANSPORT"] == "UDP"
    for extension in ("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "TYPE"):
        assert info["EXTENSIONS"][extension] is True


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("CONTENTS", {}).values():
        yield from nodes(child)


def test_the_tree_has_every_address(live: LiveServers) -> None:
    tree = get_json(live, "/")
    found = {node["FULL_PATH"]: node for node in nodes(tree)}
    for entry in (*COMMANDS, *OUTGOING):
        node = found[entry.address]
        assert node["ACCESS"] in ((1,) if entry.is_event else (2, 3))
        assert len(node["TYPE"]) == len(node.get("RANGE", []))
        assert len(node.get("VALUE", node["TYPE"])) == len(node["TYPE"])
        assert node["DESCRIPTION"]
    for path, node in found.items():
        for name, child in node.get("CONTENTS", {}).items():
            assert child["FULL_PATH"] == f"{path.rstrip('/')}/{name}"


def test_a_value_is_the_present_one(live: LiveServers) -> None:
    live.call(lambda: live.dispatcher.local("/mgrt/param/set/cfg", 6.5))
    node = get_json(live, "/mgrt/param/set/cfg")
    assert (node["TYPE"], node["VALUE"], node["ACCESS"]) == ("f", [6.5], 3)
    assert node["RANGE"] == [{"MIN": 0, "MAX": 30}]
    assert get_json(live, "/mgrt/param/set/cfg?VALUE") == {"VALUE": [6.5]}
    assert get_json(live, "/mgrt/clock/source?RANGE")["RANGE"][0]["VALS"][0] == "internal"
    clock = get_json(live, "/mgrt/state/clock")
    assert clock["TYPE"] == "sfiiif"
    assert clock["VALUE"][2:5] == [4, 4, 4]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/mgrt/nothing", 404),
        ("/mgrt/param/set/cfg?NONSENSE", 400),
        ("/mgrt/transport/play?VALUE", 204),
        ("/mgrt?TYPE", 204),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/" + "x" * 5000, 400),
    ],
)
def test_what_is_not_there(live: LiveServers, path: str, status: int) -> None:
    assert get(live, path)[0] == status


def test_health_and_metrics(live: LiveServers) -> None:
    health = get_json(live, "/health")
    assert (health["status"], health["phase"]) == ("ok", "playing")
    status, body = get(live, "/metrics")
    assert status == 200
    assert b"# TYPE mgrt_packets_total counter\n" in body
    live.call(lambda: live.dispatcher.from_playout({"type": "fallback", "is_on": True}))
    assert get_json(live, "/health")["status"] == "degraded"
    assert b"mgrt_fallback 1\n" in get(live, "/metrics")[1]
    live.call(lambda: live.dispatcher.from_playout({"type": "fallback", "is_on": False}))


def test_a_model_that_does_not_play_is_no_health(live: LiveServers) -> None:
    live.call(
        lambda: live.dispatcher.from_engine({"type": "error", "where": "load", "text": "torn"})
    )
    status, body = get(live, "/health")
    assert (status, json.loads(body)["status"]) == (503, "failed")
    live.call(lambda: live.dispatcher.from_engine({"type": "loading", "fraction": 0.5}))


def test_a_web_page_cannot_ask_by_another_name(live: LiveServers) -> None:
    """DNS can be made to give 127.0.0.1 for a name of an attacker's page."""
    assert get(live, "/health", Host="evil.example")[0] == 403
    assert get(live, "/health", Host=f"localhost:{live.ports.http}")[0] in (200, 503)
    assert get(live, "/health", Host="[::1]:80")[0] in (200, 503)


@pytest.mark.parametrize(
    ("remote", "headers", "expected"),
    [
        ("192.168.1.5", {}, web.HTTPUnauthorized),
        ("192.168.1.5", {"Authorization": "Bearer wrong"}, web.HTTPUnauthorized),
        ("192.168.1.5", {"Authorization": f"Basic {TOKEN}"}, web.HTTPUnauthorized),
        ("192.168.1.5", {"Authorization": f"Bearer {TOKEN}"}, None),
        ("127.0.0.1", {"Host": "localhost:9123"}, None),
        ("127.0.0.1", {"Host": "evil.example"}, web.HTTPForbidden),
    ],
)
def test_from_elsewhere_the_token_is_demanded(
    live: LiveServers,
    remote: str,
    headers: dict[str, str],
    expected: type[web.HTTPException] | None,
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="let in")

    def unused() -> Any:
        raise AssertionError("not asked for")

    async def ask() -> web.StreamResponse:
        server = HttpServer(
            live.config, Access(TOKEN, 60), QueryTree(lambda _: None), view=unused, metrics=unused
        )
        request = make_mocked_request("GET", "/", headers=headers).clone(remote=remote)
        return await server._guard(request, handler)

    if expected is None:
        assert asyncio.run(ask()).status == 200
    else:
        with pytest.raises(expected):
            asyncio.run(ask())


def test_nothing_can_be_written(live: LiveServers) -> None:
    url = f"http://127.0.0.1:{live.ports.http}/mgrt/quit"
    request = urllib.request.Request(url, data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
    assert error.value.code == 405
    error.value.close()
    assert not live.quit_asked.is_set()
