"""The Node.js client in Node.js, against a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.daemon_rig import DaemonProcess, OscClient, free_ports
from tests.patches.script import Script
from tests.programs import requires_program

PATCHES = Path(__file__).resolve().parents[2] / "patches" / "node"

# Prints what a line of JavaScript gives, with `mgrt` connected to the daemon.
TRY = """
import {{ Mgrt }} from "{module}";
const mgrt = new Mgrt({{ port: {port} }});
mgrt.on("connected", async () => {{
  try {{ console.log("gave", JSON.stringify(await {expression})); }}
  catch (error) {{ console.log("raised", error.message); }}
  mgrt.close();
}});
"""


def tried(daemon: DaemonProcess, folder: Path, expression: str) -> str:
    """What `await expression` gives or raises."""
    program = folder / "try.mjs"
    module = (PATCHES / "mgrt.mjs").as_uri()
    text = TRY.format(module=module, port=daemon.ports()["osc"], expression=expression)
    program.write_text(text, encoding="utf-8")
    with Script([requires_program("node"), program], folder) as script:
        assert script.wait_end() == 0, script.printed
    return script.printed[-1]


def test_the_client_sets_a_prompt_and_plays_a_phrase(daemon: DaemonProcess, tmp_path: Path) -> None:
    ear = OscClient(daemon.ports()["osc"])
    ear.send("/mgrt/notify", 1)
    words = ["--port", str(daemon.ports()["osc"]), "--prompt", "string quartet", "--bars", "1"]
    with Script([requires_program("node"), PATCHES / "client.mjs", *words], tmp_path) as client:
        ear.wait(lambda m: m[:3] == ("/mgrt/state/prompt", 0, "string quartet"), 60)
        ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "follow"), 60)
        assert client.wait_end() == 0
    ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "off"), 60)
    ear.close()
    assert sum("at 120 BPM" in line for line in client.printed) == 4
    assert any("string quartet: heard" in line for line in client.printed), client.printed
    assert not any("refused: /mgrt" in line for line in client.printed), client.printed


# Prints how a command ends that nobody is there to answer.
ALONE = """
import {{ Mgrt }} from "{module}";
const mgrt = new Mgrt({{ port: {port} }});
const before = mgrt.send("/mgrt/sync", 1).catch((error) => "before: " + error.message);
mgrt.on("lost", async () => {{
  console.log(await before);
  await mgrt.send("/mgrt/sync", 2).catch((error) => console.log("after: " + error.message));
  mgrt.close();
}});
"""


def test_a_command_to_nobody_is_rejected(tmp_path: Path) -> None:
    program = tmp_path / "alone.mjs"
    module = (PATCHES / "mgrt.mjs").as_uri()
    program.write_text(ALONE.format(module=module, port=free_ports()[0]), encoding="utf-8")
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


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('mgrt.send("/mgrt/sync", 7)', "gave [7]"),
        ('mgrt.send("/mgrt/version")', 'gave ["musicgen-rt"'),
        ('mgrt.send("/mgrt/clock/tempo", 5)', "raised /mgrt/clock/tempo"),
        ('mgrt.send("/mgrt/clock/temppo", 120)', "raised /mgrt/clock/temppo"),
        ('mgrt.send("/mgrt/clock/tempo", NaN)', "raised NaN cannot be sent"),
        (FADERS, "gave 3"),
        (BUNDLES, "gave 2"),
    ],
)
def test_every_request_is_answered(
    daemon: DaemonProcess, tmp_path: Path, expression: str, expected: str
) -> None:
    assert tried(daemon, tmp_path, expression).startswith(expected)
