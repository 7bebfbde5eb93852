"""Musicians at five programs, each of which is told what to do next and does it in its own way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from playwright.sync_api import Page

from tests.bridge.daemon_rig import OscClient
from tests.patches.browser import chromium, surface, until_connected
from tests.patches.pd_process import PdProcess, mgrt
from tests.patches.sclang import sclang
from tests.patches.script import Script
from tests.programs import requires_program

PATCHES: Final = Path(__file__).resolve().parents[2] / "patches"
# On the page: from middle C on, as on a piano, and what is clicked.
_TYPED: Final = "awsedftgyhuj"
_BUTTONS: Final = {
    "transport/play": "#play",
    "transport/stop": "#stop",
    "audio/record": "#record",
    "melody/mode": "#follow",
}


class Player(Protocol):
    """Somebody who plays the daemon with one of the clients."""

    def ask(self, address: str, *values: Any) -> Any:
        """Do it; what the client says first of it: mostly the beat from which it is heard."""

    def until_bar(self) -> None:
        """Wait until the client tells of a bar's first beat."""


class ScriptPlayer:
    """One that reads commands as lines and prints answers and beats."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def ask(self, address: str, *values: Any) -> Any:
        self._say(address, values)
        return json.loads(self._script.wait_for("answer ").partition("answer ")[2])[0]

    def until_bar(self) -> None:
        line = ""
        while not line.endswith(" 1"):
            line = self._script.wait_for("beat ")

    def _say(self, address: str, values: tuple[Any, ...]) -> None:
        self._script.say(json.dumps([address, *values]) + "\n")


PYTHON: Final = """
import json, os, sys
import zmq
from client import send
commands, events = (zmq.Context.instance().socket(kind) for kind in (zmq.DEALER, zmq.SUB))
events.subscribe(b"/mgrt/beat")
for socket, end in ((commands, sys.argv[1]), (events, sys.argv[2])):
    socket.linger = 0
    socket.connect(f"tcp://127.0.0.1:{end}")
poller = zmq.Poller()
for source in (commands, events, sys.stdin.fileno()):
    poller.register(source, zmq.POLLIN)
while True:
    for source, _ in poller.poll():
        if source is events:
            print("beat", *json.loads(events.recv_multipart()[-1])[1:3], flush=True)
        elif source is commands:
            kind, _, *words = json.loads(commands.recv())
            print("answer" if kind == "/done" else "refused", json.dumps(words), flush=True)
        else:
            send(commands, *json.loads(sys.stdin.readline()))
"""

NODE: Final = """
import {{ createInterface }} from "node:readline";
import {{ Mgrt }} from "{module}";
const mgrt = new Mgrt({{ port: {port} }});
mgrt.on("connected", () => console.log("connected"));
mgrt.on("/mgrt/beat", (bar, beat) => console.log("beat", bar, beat));
createInterface({{ input: process.stdin }}).on("line", (line) => {{
  mgrt.send(...JSON.parse(line)).then((answer) => console.log("answer", JSON.stringify(answer)),
    (error) => console.log("refused", error.message));
}});
"""

SUPERCOLLIDER: Final = """
m = MusicGenRT(\\player, "127.0.0.1", "MGRT_PORT".getenv.asInteger);
m.addDependant { |who, what, bar, beat| if(what == \\beat) { ("beat" + bar + beat).postln } };
OSCFunc({ |msg|
    m.ask({ |values, reason|
        if(values.isNil) { ("refused" + reason).postln } {
            var words = values.collect { |one|
                if(one.isNumber) { one } { one.asString.asCompileString }
            };
            ("answer [" ++ words.join(",") ++ "]").postln;
        };
    }, *msg.drop(1));
}, "/ask");
m.doWhenConnected { ("ready" + NetAddr.langPort).postln };
m.connect;
"""


class SuperColliderPlayer(ScriptPlayer):
    """Told over OSC, as sclang does not read lines while it runs a program."""

    def __init__(self, script: Script, port: int) -> None:
        super().__init__(script)
        self._way = OscClient(port)

    def _say(self, address: str, values: tuple[Any, ...]) -> None:
        self._way.send("/ask", address.removeprefix("/mgrt/"), *values)


class PdPlayer:
    """Told by the inlets of `mgrt`."""

    def __init__(self, pd: PdProcess) -> None:
        self._pd = pd

    def ask(self, address: str, *values: Any) -> Any:
        path = address.removeprefix("/mgrt/")
        if path == "melody/note_on":
            self._pd.say("note {} {}".format(*values))
        else:
            self._pd.say(" ".join(["message", path, *map(str, values)]).replace(",", "\\,"))
        return _number_or_text(self._pd.wait_for(f"answer done {address}")[3])

    def until_bar(self) -> None:
        self._pd.wait(lambda told: told[:2] == ["event", "beat"] and told[3] == "1")


class BrowserPlayer:
    """Types and clicks on the page; plays with the typewriter's keys."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def ask(self, address: str, *values: Any) -> Any:
        answer = self._page.locator("#answer")
        answer.evaluate("element => { element.textContent = ''; }")
        path = address.removeprefix("/mgrt/")
        self._gesture(path, values)
        answer.filter(has_text=f"{path}: ").wait_for()
        # The last word is a beat, or a file's name.
        return _number_or_text(answer.inner_text().removeprefix(f"{path}: ").split()[-1])

    def until_bar(self) -> None:
        page = self._page
        page.locator("#beats i:last-child.on").wait_for()
        page.locator("#beats i:first-child.on").wait_for()

    def _gesture(self, path: str, values: tuple[Any, ...]) -> None:
        page = self._page
        match path:
            case "prompt/set":
                page.check(f"#when [value={values[-1]}]")
                page.fill(f"#prompt{values[0]}", values[1])
                page.press(f"#prompt{values[0]}", "Enter")
            case "melody/note_on":
                page.keyboard.down(_TYPED[values[0] - 60])
            case "melody/note_off":
                page.keyboard.up(_TYPED[values[0] - 60])
            case _:
                page.click(_BUTTONS[path])


def _number_or_text(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


@contextmanager
def python(folder: Path, ports: Mapping[str, int]) -> Iterator[Player]:
    """Over ZeroMQ, with the Python client's `send`."""
    program = folder / "player.py"
    program.write_text(PYTHON, encoding="utf-8")
    words: list[str | Path] = [sys.executable, program]
    words += [str(ports[name]) for name in ("command", "publish")]
    path = {"PYTHONPATH": str(PATCHES / "python")}
    with Script(words, folder, path, is_driven=True) as script:
        yield ScriptPlayer(script)


@contextmanager
def node(folder: Path, ports: Mapping[str, int]) -> Iterator[Player]:
    """Over OSC, with the Node.js client."""
    program = folder / "player.mjs"
    module = (PATCHES / "node" / "mgrt.mjs").as_uri()
    program.write_text(NODE.format(module=module, port=ports["osc"]), encoding="utf-8")
    with Script([requires_program("node"), program], folder, is_driven=True) as script:
        script.wait_for("connected")
        yield ScriptPlayer(script)


@contextmanager
def supercollider(folder: Path, ports: Mapping[str, int]) -> Iterator[Player]:
    """With the class in sclang."""
    program = folder / "player.scd"
    program.write_text(SUPERCOLLIDER, encoding="utf-8")
    with sclang(folder, program, MGRT_PORT=str(ports["osc"])) as script:
        port = int(script.wait_for("ready ").split()[-1])
        yield SuperColliderPlayer(script, port)


@contextmanager
def pd(folder: Path, ports: Mapping[str, int]) -> Iterator[Player]:
    """With the patch in Pd."""
    with mgrt(folder, ports["osc"]) as process:
        process.wait_for("connected 1")
        yield PdPlayer(process)


@contextmanager
def browser(folder: Path, ports: Mapping[str, int]) -> Iterator[Player]:
    """With the page in Chromium."""
    with (
        chromium() as program,
        surface(program, folder, ports["command"], ports["publish"]) as page,
    ):
        until_connected(page)
        yield BrowserPlayer(page)
