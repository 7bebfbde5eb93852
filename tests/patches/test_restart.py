"""A daemon that is not there, comes, goes and comes again: each client says so and goes on.

All clients live through it together; a test a client says how it was for that one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page

from tests.bridge.daemon_rig import DaemonProcess, free_ports
from tests.patches.browser import (
    chromium,
    set_prompt,
    surface,
    until_alone,
    until_connected,
)
from tests.patches.conftest import TONE
from tests.patches.pd_process import PdProcess, mgrt
from tests.patches.sclang import sclang
from tests.patches.script import Script, endpoints
from tests.patches.test_python import write_scale
from tests.programs import requires_node_package, requires_program

pytestmark = pytest.mark.timeout(400)
PATCHES = Path(__file__).resolve().parents[2] / "patches"
NODE = PATCHES / "node"
# The program that each needs beside Python.
CLIENTS = {
    "pd": "pd",
    "supercollider": "sclang",
    "node": "node",
    "node over zeromq": "node",
    "python": None,
    "python with a midi file": None,
    "python with the sound": None,
    "browser": "chromium",
}

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


def _serve_page(page: Page, turns: Iterator[int]) -> None:
    until_connected(page)
    # Another one each time: to type what is there already asks for nothing.
    set_prompt(page, 2, f"polka {next(turns)}")


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
    if name == "browser":
        page = stack.enter_context(surface(stack.enter_context(chromium()), folder, *ports[1:3]))
        turns = count(1)
        return Client(lambda: until_alone(page), lambda: _serve_page(page, turns))
    if name.startswith("node"):
        words = ["--port", osc, "--bars", "999"]
        if name == "node over zeromq":
            words += ["--zeromq", *endpoints(ports[1], ports[2])]
        script = Script([requires_program("node"), NODE / "client.mjs", *words], folder)
        return _of_script(stack.enter_context(script), "heard from beat")
    return _start_python(name, folder, ports, stack)


def _start_python(name: str, folder: Path, ports: tuple[int, ...], stack: ExitStack) -> Client:
    match name:
        case "python with a midi file":
            write_scale(folder / "scale.mid", beats=4)
            program, served = "midi_jam.py", "beat 1 of 4: 4 notes"
            words = ["scale.mid", "--times", "999", "--port", str(ports[0])]
        case "python with the sound":
            program, served = "pcm.py", "from beat"
            words = ["take.wav", "--seconds", "999", "--events", f"tcp://127.0.0.1:{ports[2]}"]
        case _:
            program, served = "client.py", "/done /mgrt/prompt/set"
            words = ["--bars", "999", *endpoints(ports[1], ports[2])]
    script = Script([sys.executable, PATCHES / "python" / program, *words], folder)
    return _of_script(stack.enter_context(script), served)


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
            except (AssertionError, PlaywrightError) as error:
                self.ended[name] = str(error)


def _is_installed(name: str, program: str | None) -> bool:
    if name == "node over zeromq" and not (NODE / "node_modules" / "zeromq").is_dir():
        return False
    return program is None or shutil.which(program) is not None


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Nobody; a daemon; nobody; another daemon on the same ports."""
    folder, ports, story = tmp_path_factory.mktemp("restart"), free_ports(), Story()
    with ExitStack() as stack:
        clients = {}
        for name, program in CLIENTS.items():
            if not _is_installed(name, program):
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
    if name == "node over zeromq":
        requires_node_package(NODE, "zeromq")
    assert story.told[name] == ["alone", "served"] * 2, story.ended[name]
