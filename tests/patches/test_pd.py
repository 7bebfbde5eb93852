"""The Pure Data patches in Pure Data, against a daemon."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.bridge.daemon_rig import DaemonProcess, free_ports
from tests.patches.pd_process import DEADLINE_SECONDS, PATCHES, PdProcess, mgrt
from tests.programs import requires_program

FILES = sorted(PATCHES.glob("*.pd"))


@pytest.fixture(scope="module")
def pd(daemon: DaemonProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PdProcess]:
    """One Pd that is connected, for all tests that leave it so."""
    with mgrt(tmp_path_factory.mktemp("pd"), daemon.ports()["osc"]) as running:
        running.wait_for("connected 1")
        yield running


def console_of(path: Path) -> str:
    """What Pd says when it opens a patch and leaves."""
    command = [requires_program("pd"), "-nogui", "-noprefs", "-noaudio", "-nomidi"]
    command += ["-open", str(path), "-send", "pd quit"]
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS
    )
    return result.stdout + result.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_patch_opens_without_a_word(path: Path) -> None:
    """Pd reports objects that it does not know, cords of a missing outlet and bad messages."""
    assert console_of(path) == ""


@pytest.mark.parametrize("line", ["#X obj 9 9 no-such-object;", "#X connect 0 9 0 0;"])
def test_pd_reports_a_patch_that_is_broken(tmp_path: Path, line: str) -> None:
    broken = tmp_path / "broken.pd"
    broken.write_text(f"#N canvas 0 0 100 100 12;\n#X obj 9 9 bang;\n{line}\n")
    assert console_of(broken) != ""


def test_the_state_comes_first_and_beats_follow(pd: PdProcess) -> None:
    pd.say("message refresh")
    assert pd.wait_for("event state prompt 0")[4] == "warm house groove with a round bass"
    first = pd.wait_for("event beat")
    second = pd.wait_for("event beat")
    places = [(int(bar) - 1) * 4 + int(beat) for bar, beat in (first[2:4], second[2:4])]
    assert places[1] == places[0] + 1
    assert second[4] == "120"


def test_a_prompt_arrives_word_by_word_and_is_answered(
    pd: PdProcess, daemon: DaemonProcess
) -> None:
    pd.say("message prompt/set 3 dub techno\\, 120 bpm 0.25")
    done, told = pd.wait_for_each("answer done /mgrt/prompt/set", "event state prompt 3")
    assert float(done[3]) > 0
    assert told[4:] == ["dub techno, 120 bpm", "0.25"]
    daemon.client.send("/mgrt/refresh")
    state = daemon.client.wait(lambda m: m[:2] == ("/mgrt/state/prompt", 3))
    assert state[2:] == ("dub techno, 120 bpm", 0.25)


def test_a_refusal_comes_out_and_is_printed(pd: PdProcess) -> None:
    pd.say("message clock/tempo 5")
    reason = pd.wait_for("answer fail /mgrt/clock/tempo")[3]
    assert "20 to 999" in reason
    assert "mgrt: fail /mgrt/clock/tempo" in pd.printed
    pd.say("message clock/temppo 120")
    assert "did you mean" in pd.wait_for("answer fail /mgrt/clock/temppo")[3]


def test_an_address_without_arguments_is_sent(pd: PdProcess) -> None:
    pd.say("message version")
    assert pd.wait_for("event version.reply")[2] == "musicgen-rt"


def test_a_phrase_is_played_from_the_right_inlet(pd: PdProcess) -> None:
    for pitch in (60, 64, 67):
        pd.say(f"note {pitch} 100")
        pd.wait_for("answer done /mgrt/melody/note_on")
        pd.say(f"note {pitch} 0")
        pd.wait_for("answer done /mgrt/melody/note_on")


def test_a_bundle_is_done_at_its_time(pd: PdProcess) -> None:
    """Two messages of one moment, due a second apart, are done two beats of 120 BPM apart."""
    told = ["answer", "fail"]
    while told[:2] == ["answer", "fail"]:  # until the clock of Pd's bundles is set
        pd.say("message at 0 sync 7")
        told = pd.wait(lambda words: words[:2] in (["answer", "fail"], ["event", "synced"]))
    beats: list[float] = []
    while len(beats) < 2:
        known = len(pd.told)
        # In one packet: a second one may be held back by TCP, and would be of another moment.
        pd.say("message at 2000 audio/gain_db -6 0;\nmessage at 3000 audio/gain_db 0 0")
        answers = [pd.wait_for("answer done /mgrt/audio/gain_db") for _ in range(2)]
        if not any("late" in words for words in pd.told[known:]):
            beats = [float(words[3]) for words in answers]
    # To the codec's frame: a 50th of a second is a 25th of a beat.
    assert beats[1] - beats[0] == pytest.approx(2, abs=0.05)


def test_a_daemon_that_is_not_there_is_told_and_another_is_taken(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    with mgrt(tmp_path, free_ports()[0]) as alone:
        alone.wait_for("connected 0")
        alone.say("message prompt/set 0 jazz")
        assert alone.wait_for("answer fail")[2:] == ["prompt/set", "not", "connected"]
        assert "musicgen-rt jam" in alone.printed
        alone.say(f"message connect 127.0.0.1 {daemon.ports()['osc']}")
        alone.wait_for("connected 1")
        alone.say("message prompt/clear 3")
        alone.wait_for("answer done /mgrt/prompt/clear")
        alone.say("message disconnect")
        alone.wait_for("connected 0")


# The demo as it is, but for its names, which Pd would number, and its daemon.
STAGE = """#N canvas 0 0 400 300 12;
#X obj 10 10 inlet words;
#X obj 200 10 inlet to the window;
#X obj 10 50 s demo-say;
#X obj 200 50 s pd-demo.pd;
#X obj 10 100 demo;
#X connect 0 0 2 0;
#X connect 1 0 3 0;
"""


def demo(folder: Path, daemon: DaemonProcess) -> PdProcess:
    """Pd with the demo; the inlets are its commands, and what happens to its window."""
    text = (PATCHES / "mgrt-demo.pd").read_text().replace("\\$0-", "demo-")
    assert text.count(" mgrt;") == 1
    text = text.replace(" mgrt;", f" mgrt 127.0.0.1 {daemon.ports()['osc']};")
    (folder / "demo.pd").write_text(text)
    (folder / "stage.pd").write_text(STAGE)
    return PdProcess(folder, "stage", inlets=("words", "window"), outlets=())


def test_the_demo_shows_what_is_answered(daemon: DaemonProcess, tmp_path: Path) -> None:
    with demo(tmp_path, daemon) as pd:
        until(lambda: "mgrt: connected" in pd.printed)
        for words, shown in (
            ("clock/tempo 120", "done /mgrt/clock/tempo"),
            ("clock/tempo 5", "fail /mgrt/clock/tempo"),
        ):
            pd.say(f"words {words}")
            until(partial(is_shown, pd, tmp_path, shown))


def is_shown(pd: PdProcess, folder: Path, answer: str) -> bool:
    """Whether the demo's last line begins with an answer."""
    return f"#X msg 20 604 {answer}" in saved(pd, folder / "shown.pd")


def saved(pd: PdProcess, path: Path) -> str:
    """The demo as it looks now, as Pd saves it; empty before the first time."""
    pd.say(f"window savetofile {path.name} {path.parent}")
    return path.read_text() if path.is_file() else ""


# The knob of the pad, from its middle to the right and up: pixels of the demo's window.
MIDDLE = (545, 173)
BESIDE = (592, 126)
KNOB = re.compile(r"#X scalar mgrt-demo-knob 0 0 ([\d.]+) ([\d.]+)")


def test_the_pad_is_dragged_and_shows_what_the_daemon_tells(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    told = daemon.client
    told.ask("/mgrt/notify", 1, seconds=60)
    for name, value in (("cfg", 3.0), ("temperature", 1.0)):
        told.ask(f"/mgrt/param/set/{name}", value, seconds=60)
    with demo(tmp_path, daemon) as pd:
        until(lambda: "mgrt: connected" in pd.printed)
        until(lambda: knob(pd, tmp_path) == pytest.approx((0.5, 0.5)))
        pd.say("window vis 1;\nwindow map 1")
        (x, y), (right, up) = MIDDLE, BESIDE
        pd.say(f"window mouse {x} {y} 1 0;\nwindow motion {right} {up} 0")
        pd.say(f"window mouseup {right} {up} 1")
        values: dict[str, float] = {}
        while values.get("cfg", 0) < 3.9 or values.get("temperature", 0) < 1.2:
            _, name, value = told.wait(lambda m: m[0] == "/mgrt/state/param", 60)
            values[name] = value
        told.ask("/mgrt/param/set/cfg", 1.0, seconds=60)
        told.ask("/mgrt/param/set/temperature", 1.5, seconds=60)
        until(lambda: knob(pd, tmp_path) == pytest.approx((0, 1)))


def knob(pd: PdProcess, folder: Path) -> tuple[float, ...]:
    """Where the knob is, from 0 to 1 to the right and up; nowhere before Pd has saved it."""
    found = KNOB.search(saved(pd, folder / "shown.pd"))
    return () if found is None else (float(found[1]), float(found[2]))


def until(holds: Callable[[], bool]) -> None:
    """Ask again until something holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it has not come to hold"
        time.sleep(0.2)
