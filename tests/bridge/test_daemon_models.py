"""The daemon over models that are not MusicGens: sounds at 16 kHz, and masked codes.

The checkpoints have random weights in the structure of the published ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musicgen_rt.model.new_checkpoint import write_checkpoint
from tests.bridge.daemon_rig import DaemonProcess

pytestmark = pytest.mark.timeout(300)
READY_SECONDS = 200.0
DONE_SECONDS = 40.0
SONG = """
[[section]]
name = "A"
bars = 1
bpm = 240
prompt = "rain"
[[section]]
name = "B"
bars = 1
bpm = 200
prompt = "wind"
"""


def playing(folder: Path, like: str) -> DaemonProcess:
    model = folder / "model"
    write_checkpoint(like, model, tiny=True, seed=0)
    config = json.loads((model / "config.json").read_text())
    if "magnet" in config:
        # 50 passes a block as published: fewer do here.
        config["magnet"]["decoding_steps"] = [3, 2, 2, 2]
        (model / "config.json").write_text(json.dumps(config))
    args = ("--model", model, "--output", "null", "--threads", "1", "--bpm", "240")
    return DaemonProcess(folder, *args)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("sounds")
    with playing(folder, "facebook/audiogen-medium") as daemon:
        daemon.until_playing(READY_SECONDS)
        yield daemon


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("masked")
    with playing(folder, "facebook/magnet-small-10secs") as daemon:
        daemon.until_playing(READY_SECONDS)
        yield daemon


def done(daemon: DaemonProcess, address: str, *args: object) -> tuple[Any, ...]:
    """Send a command until it is done: on a slow machine what it needs may be missing just then."""
    deadline = time.monotonic() + DONE_SECONDS
    while (answer := daemon.client.ask(address, *args, seconds=DONE_SECONDS))[0] != "/done":
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def test_an_ambience_goes_on_under_changing_prompts(sounds: DaemonProcess) -> None:
    ready = sounds.events("ready")[-1]
    assert (ready["sampling_rate_hz"], ready["hop_samples"]) == (16_000, 320)
    beats = []
    for slot, text in enumerate(("rain on a tin roof", "a train far away", "wind in pines")):
        beats.append(done(sounds, "/mgrt/prompt/set", slot, text, 1.0, 2.0)[2])
        done(sounds, "/mgrt/prompt/weight", slot, 0.5, 1.0)
    assert beats == sorted(beats)
    # Beyond the window of 10 s, and so a roll.
    sounds.until_status(lambda s: s["bar"] >= 14, READY_SECONDS)
    status = sounds.client.status()
    assert status["phase"] == "playing" and status["peak_db"] > -100


def test_a_magnet_plays_blocks_and_fills_bars_in(masked: DaemonProcess) -> None:
    masked.until_status(lambda s: s["bar"] >= 6, READY_SECONDS)
    done(masked, "/mgrt/prompt/set", 0, "drum fill", 1.0)
    now = done(masked, "/mgrt/prompt/set", 0, "drums", 1.0)[2]
    # Of the four bars that are played again the second is the first new one.
    assert done(masked, "/mgrt/gen/infill", 2, 3, 4)[2] >= now + 3
    done(masked, "/mgrt/gen/infill", 1, 1)
    done(masked, "/mgrt/gen/undo", 1)
    assert masked.client.status()["phase"] == "playing"


def test_a_model_of_sounds_cannot_infill(sounds: DaemonProcess) -> None:
    answer = sounds.client.ask("/mgrt/gen/infill", 1, 1, 1, seconds=DONE_SECONDS)
    assert answer[0] == "/fail" and "load a MAGNeT" in str(answer[2])


def test_a_song_is_played_and_moves_the_clock(sounds: DaemonProcess) -> None:
    inputs = sounds.folder / "data" / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    (inputs / "song.toml").write_text(SONG)
    assert done(sounds, "/mgrt/song/load", "song.toml")[2:] == (2, 2)
    sounds.client.send("/mgrt/notify", 1)
    done(sounds, "/mgrt/song/play")
    told: list[tuple[Any, ...]] = []
    while not told or told[-1][1] != "":
        told.append(sounds.client.wait(lambda m: m[0] == "/mgrt/section", READY_SECONDS))
    # One that was made before the tempo of the other came is told again where it lies then.
    last = {one[1]: one for one in told}
    assert list(last) == ["A", "B", ""]
    assert last["B"][3] - last["A"][3] == pytest.approx(4.0, abs=0.1), "a bar of four beats"
    sounds.until_status(lambda s: s["bpm"] == 200.0, READY_SECONDS)
