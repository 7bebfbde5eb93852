"""F18: a flood of messages: all are handled, the last value holds, and panic overtakes them.

Paced by what is acknowledged and not by a clock, so that it holds on a machine of any speed;
`musicgen-rt evaluate siege` says how many a second that makes. MUSICGEN_RT_FLOOD sets how many.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bridge.control.client import Client
from bridge.control.counters import Counters
from bridge.control.inbox import Inbox
from musicgen_rt.evaluate.stage_fuzz import message
from musicgen_rt.evaluate.stage_siege import TRANSPORTS, Ports, flood, sending
from tests.bridge.control.live_servers import LiveServers
from tests.bridge.control.rig import bundle

MESSAGES = int(os.environ.get("MUSICGEN_RT_FLOOD", "3000"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_f18_a_flood_is_handled_in_full_and_the_last_value_holds(
    tmp_path: Path, transport: str
) -> None:
    with LiveServers(tmp_path) as live:
        ports = Ports(live.ports.osc, live.ports.command, live.ports.http)
        with sending(transport, ports) as sender:
            result = flood(sender, ports, MESSAGES)
            print(f"{transport}: {result['messages_per_second']:.0f} messages a second")
            assert result["handled"] == MESSAGES
            sender.send("param/set/cfg", 7.5)
            sender.sync(1)
        assert live.metric("overflow_total") == 0
        assert live.metric("malformed_total") == 0
        assert live.session.state["param/cfg"] == 7.5
        live.wait_until(lambda: len(live.session.owed) == 0)
        last = next(one for one in reversed(live.commands) if one["args"][:1] == ["cfg"])
        assert last["args"] == ["cfg", 7.5], "the engine has the last value, too"


PANIC = message("/mgrt/gen/panic")


@pytest.mark.parametrize("panic", [PANIC, b'["/mgrt/gen/panic"]', bundle(0, PANIC)])
def test_f18_panic_overtakes_what_waits(panic: bytes) -> None:
    handled = in_turn([panic])
    assert handled.index(panic) == 0, "before everything that came earlier"
    assert len(handled) == 1011


@pytest.mark.parametrize("later", [bundle(1.9e9, PANIC), bundle(0, PANIC, PANIC)])
def test_f18_a_panic_for_later_or_among_others_waits_its_turn(later: bytes) -> None:
    assert in_turn([later])[-1] == later


def in_turn(last: list[bytes]) -> list[bytes]:
    """The order in which an inbox hands on 1,010 faders and then others."""

    async def test() -> list[bytes]:
        handled: list[tuple[bytes, int]] = []
        inbox = Inbox(lambda data, _, at_ns: handled.append((data, at_ns)), Counters())
        client = Client("udp", "127.0.0.1", 1)
        fader = message("/mgrt/param/set/cfg", 2.0)
        inbox.put(*[(fader, client)] * 1000)
        inbox.put(*[(fader, client)] * 10, *((one, client) for one in last))
        while len(handled) < 1010 + len(last):
            await asyncio.sleep(0)
        came_ns = [at_ns for data, at_ns in handled if data == fader]
        assert came_ns == sorted(came_ns)
        assert all(at_ns > came_ns[-1] for data, at_ns in handled if data != fader)
        return [data for data, _ in handled]

    return asyncio.run(test())
