"""The Node.js clients in Node.js, over OSC and over ZeroMQ, against a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.daemon_rig import DaemonProcess, OscClient, free_ports
from tests.patches.script import Script, endpoints
from tests.programs import requires_node_package, requires_program

PATCHES = Path(__file__).resolve().parents[2] / "patches" / "node"

# Prints what a line of JavaScript gives, with `mgrt` connected to the daemon.
TRY = """
{client}
mgrt.on("connected", async () => {{
  try {{ console.log("gave", JSON.stringify(await {expression})); }}
  catch (error) {{ console.log("raised", error.message); }}
  mgrt.close();
}});
"""


OVER = ("osc", "zeromq")


def client(over: str, osc: int, commands: int, events: int) -> str:
    """JavaScript that makes `mgrt`, a client of a daemon on these ports."""
    if over == "osc":
        module = (PATCHES / "mgrt.mjs").as_uri()
        return f'import {{ Mgrt }} from "{module}";\nconst mgrt = new Mgrt({{ port: {osc} }});'
    requires_node_package(PATCHES, "zeromq")
    module = (PATCHES / "zeromq.mjs").as_uri()
    ends = f'commands: "tcp://127.0.0.1:{commands}", events: "tcp://127.0.0.1:{events}"'
    return f'import {{ MgrtZmq }} from "{module}";\nconst mgrt = new MgrtZmq({{ {ends} }});'


def client_of(daemon: DaemonProcess, over: str) -> str:
    """JavaScript that makes `mgrt`, a client of this daemon."""
    ports = daemon.ports()
    return client(over, ports["osc"], ports["command"], ports["publish"])


def tried(folder: Path, client: str, expression: str) -> str:
    """What `await expression` gives or raises."""
    program = folder / "try.mjs"
    program.write_text(TRY.format(client=client, expression=expression), encoding="utf-8")
    with Script([requires_program("node"), program], folder) as script:
        assert script.wait_end() == 0, script.printed
    return script.printed[-1]


@pytest.mark.parametrize("over", OVER)
def test_the_client_sets_a_prompt_and_plays_a_phrase(
    daemon: DaemonProcess, tmp_path: Path, over: str
) -> None:
    ear = OscClient(daemon.ports()["osc"])
    ear.send("/mgrt/notify", 1)
    ports = daemon.ports()
    prompt = f"string quartet, by {over}"
    words = ["--port", str(ports["osc"]), "--prompt", prompt, "--bars", "1"]
    if over == "zeromq":
        requires_node_package(PATCHES, "zeromq")
        words += ["--zeromq", *endpoints(ports["command"], ports["publish"])]
    with Script([requires_program("node"), PATCHES / "client.mjs", *words], tmp_path) as client:
        ear.wait(lambda m: m[:3] == ("/mgrt/state/prompt", 0, prompt), 60)
        ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "follow"), 60)
        assert client.wait_end() == 0
    ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "off"), 60)
    ear.close()
    assert sum("at 120 BPM" in line for line in client.printed) == 4
    assert any(f"{prompt}: heard" in line for line in client.printed), client.printed
    assert not any("refused: /mgrt" in line for line in client.printed), client.printed


# Prints how a command ends that nobody is there to answer.
ALONE = """
{client}
const before = mgrt.send("/mgrt/sync", 1).catch((error) => "before: " + error.message);
mgrt.on("lost", async () => {{
  console.log(await before);
  await mgrt.send("/mgrt/sync", 2).catch((error) => console.log("after: " + error.message));
  mgrt.close();
}});
"""


@pytest.mark.parametrize("over", OVER)
def test_a_command_to_nobody_is_rejected(tmp_path: Path, over: str) -> None:
    program = tmp_path / "alone.mjs"
    alone = ALONE.format(client=client(over, *free_ports()[:3]))
    program.write_text(alone, encoding="utf-8")
    with Script([requires_program("node"), program], tmp_path) as script:
        assert script.wait_end() == 0
    before, after = script.printed
    assert before.startswith("before: nobody answers")
    assert after.startswith("after: nobody answers")


FADERS = """Promise.all([0.1, 0.2, 0.3].map((weight) =>
  mgrt.send("/mgrt/prompt/weight", 0, weight))).then((answers) => answers.length)"""
# Two bundles a second apart: how many beats lie between what was heard of them.
BUNDLES = """Promise.all([4000, 5000].map((ms) =>
  mgrt.sendAt(Date.now() + ms, "/mgrt/audio/mute", ms < 5000)))
  .then(([a, b]) => Math.round(10 * (b[0] - a[0])) / 10)"""


PROMPT = """mgrt.send("/mgrt/prompt/set", 1, "köln, 'jazz'", 0.25).then((a) => a.length)"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('mgrt.send("/mgrt/sync", 7)', "gave [7]"),
        ('mgrt.send("/mgrt/version")', 'gave ["musicgen-rt"'),
        ('mgrt.send("/mgrt/clock/tempo", 5)', "raised /mgrt/clock/tempo"),
        ('mgrt.send("/mgrt/clock/temppo", 120)', "raised /mgrt/clock/temppo"),
        (FADERS, "gave 3"),
        (PROMPT, "gave 2"),
    ],
)
@pytest.mark.parametrize("over", OVER)
def test_every_request_is_answered(
    daemon: DaemonProcess, tmp_path: Path, over: str, expression: str, expected: str
) -> None:
    assert tried(tmp_path, client_of(daemon, over), expression).startswith(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('mgrt.send("/mgrt/clock/tempo", NaN)', "raised NaN cannot be sent"),
        (BUNDLES, "gave 2"),
    ],
)
def test_osc_has_bundles_and_no_nan(
    daemon: DaemonProcess, tmp_path: Path, expression: str, expected: str
) -> None:
    assert tried(tmp_path, client_of(daemon, "osc"), expression).startswith(expected)
