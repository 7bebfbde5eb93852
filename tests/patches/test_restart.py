"""A daemon that is not there, comes, goes and comes again: each client says so and goes on.

All clients live through it together; a test a client says how it was for that one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bridge.daemon_rig import DaemonProcess, free_ports
from tests.patches.conftest import TONE
from tests.patches.pd_process import PdProcess, mgrt
from tests.patches.sclang import sclang
from tests.patches.script import Script, endpoints
from tests.programs import requires_program

pytestmark = pytest.mark.timeout(400)
PATCHES = Path(__file__).resolve().parents[2] / "patches"
# The program that each needs beside Python.
CLIENTS = {"pd": "pd", "supercollider": "sclang", "node": "node", "python": None}

# Asks for a prompt whenever it is connected.
SUPERCOLLIDER = """
m = MusicGenRT(\\waiting, "127.0.0.1", "MGRT_PORT".getenv.asInteger);
m.addDependant { |who, what, value| if(what == \\connected and: { value }) {
    m.ask({ |answer, reason| ("asked" + answer + reason).postln }, "prompt/set", 0, "jazz");
} };
m.connect;
"""


class Client(NamedTuple):
    """A running client: wait until it says that nobody is there; until a command of it is done."""

    until_alone: Callable[[], object]
    until_served: Callable[[], object]


def _of_script(script: Script, served: str) -> Client:
    return Client(
        lambda: script.wait_for("start the daemon"),
        lambda: script.wait_for(served),
    )


def _of_pd(pd: PdProcess) -> Client:
    def until_served() -> None:
        pd.wait_for("connected 1")
        pd.wait_for("event beat")
        pd.say("message prompt/set 1 jazz")
        pd.wait_for("answer done /mgrt/prompt/set")

    return Client(lambda: pd.wait_for("connected 0"), until_served)


def _start(name: str, folder: Path, ports: tuple[int, ...], stack: ExitStack) -> Client:
    """Start one of the clients; the stack ends it."""
    folder.mkdir()
    osc = str(ports[0])
    if name == "pd":
        return _of_pd(stack.enter_context(mgrt(folder, ports[0])))
    if name == "supercollider":
        program = folder / "waiting.scd"
        program.write_text(SUPERCOLLIDER)
        return _of_script(stack.enter_context(sclang(folder, program, MGRT_PORT=osc)), "asked [")
    if name == "node":
        words = ["--port", osc, "--bars", "999"]
        script = Script([requires_program("node"), PATCHES / "node" / "client.mjs", *words], folder)
        return _of_script(stack.enter_context(script), "heard from beat")
    words = ["--bars", "999", *endpoints(ports[1], ports[2])]
    script = Script([sys.executable, PATCHES / "python" / "client.py", *words], folder)
    return _of_script(stack.enter_context(script), "/done /mgrt/prompt/set")


class Story:
    """What the clients that are installed went through; `ended` has why one did not go on."""

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = {}
        self.ended: dict[str, str] = {}

    def all_wait(self, clients: dict[str, Client], what: str) -> None:
        """Wait for each client that still goes on."""
        for name, client in clients.items():
            if name in self.ended:
                continue
            try:
                (client.until_alone if what == "alone" else client.until_served)()
                self.told[name].append(what)
            except AssertionError as error:
                self.ended[name] = str(error)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Nobody; a daemon; nobody; another daemon on the same ports."""
    folder, ports, story = tmp_path_factory.mktemp("restart"), free_ports(), Story()
    with ExitStack() as stack:
        clients = {}
        for name, program in CLIENTS.items():
            if program is not None and shutil.which(program) is None:
                continue  # its own test says so
            clients[name] = _start(name, folder / name, ports, stack)
            story.told[name] = []
        for turn in ("first", "second"):
            story.all_wait(clients, "alone")
            (folder / turn).mkdir()
            with DaemonProcess(folder / turn, "--output", "null", module=TONE, ports=ports):
                story.all_wait(clients, "served")
    return story


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_finds_the_daemon_again(name: str, story: Story) -> None:
    program = CLIENTS[name]
    if program is not None:
        requires_program(program)
    assert story.told[name] == ["alone", "served"] * 2, story.ended[name]
