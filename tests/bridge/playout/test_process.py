"""The playout as a real process, into the null output: start, messages, and every way to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.playout import exit_codes
from musicgen_rt.contract.buffer import TimelineBuffer
from tests.bridge.playout.child import EngineThread, Playout, new_buffer
from tests.bridge.playout.twin import assert_invariant_v, sine
from tests.bridge.playout.unstartable_playout import CARD

TONE = sine(220)


@pytest.fixture
def buffer() -> Iterator[TimelineBuffer]:
    created = new_buffer()
    yield created
    created.close()


def test_it_plays_answers_and_records_until_it_is_told_to_end(
    buffer: TimelineBuffer, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    with (
        EngineThread(buffer, TONE),
        Playout(buffer, output=f"wav:{path}", pcm=True) as playout,
    ):
        ready = playout.wait_for("ready")
        assert (ready["output"], ready["rate_hz"], ready["channels"]) == ("wav", 48000, 2)
        playout.wait_for("state", lambda m: m["state"] == "live")
        playout.wait_for("pcm", lambda m: m["is_playing"])
        playout.send(type="gain", id=9, gain_db=-6, sample=None, ramp_ms=10)
        assert playout.wait_for("applied")["id"] == 9
        beat = playout.wait_for("heartbeat", lambda m: m["reader_sample"] > 8000)
        assert beat["commit_sample"] - beat["reader_sample"] < 4000
        playout.send(type="devices", id=10)
        answer = playout.wait_for("applied")
        assert (answer["id"], type(answer["devices"])) == (10, list)
        playout.send(type="quit")
        assert playout.wait_end() == exit_codes.DONE
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == 48000
    first = int(np.flatnonzero(np.abs(samples[:, 0]) > 0.01)[0])
    assert_invariant_v(samples[first:], max_step=0.05, max_hole=None)
    assert np.abs(samples[-10:]).max() < 0.01  # it faded
    ended = [m for m in playout.messages if m["type"] == "recording"][-1]
    assert (ended["is_on"], ended["error"], ended["samples"]) == (False, None, len(samples))


@pytest.mark.parametrize("way", ["quit", "term", "hang up"])
def test_f41_it_ends_at_once_and_leaves_nothing(buffer: TimelineBuffer, way: str) -> None:
    with EngineThread(buffer, TONE), Playout(buffer, output="null") as playout:
        playout.wait_for("state", lambda m: m["state"] == "live")
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(playout.process.pid, number)  # those are the daemon's business
        playout.wait_for("heartbeat")
        began = time.monotonic()
        if way == "quit":
            playout.send(type="quit")
        elif way == "term":
            playout.process.terminate()
        else:
            playout.hang_up()
        assert playout.wait_end() == exit_codes.DONE
        assert time.monotonic() - began < 2


def test_a_start_without_sense_ends_it_with_a_reason(
    buffer: TimelineBuffer, capfd: pytest.CaptureFixture[str]
) -> None:
    with Playout(buffer, output="null", ceiling_db=7) as playout:
        assert playout.wait_end() == exit_codes.BAD_START
    assert "ceiling_db is 7" in playout.messages[-1]["reason"]
    assert "ceiling_db is 7" in capfd.readouterr().err


def test_without_the_device_it_plays_to_the_null_output_and_says_why(
    buffer: TimelineBuffer,
) -> None:
    """No server of that name runs."""
    environment = {"JACK_DEFAULT_SERVER": f"absent-{os.getpid()}", "JACK_NO_START_SERVER": "1"}
    with (
        EngineThread(buffer, TONE),
        Playout(buffer, environment, output="jack", device_name="system") as playout,
    ):
        ready = playout.wait_for("ready")
        assert ready["output"] == "null"
        assert "no JACK server runs" in ready["reason"]
        beat = playout.wait_for("heartbeat", lambda m: m["state"] == "live")
        playout.wait_for("heartbeat", lambda m: m["reader_sample"] > beat["reader_sample"])
        playout.send(type="device", id=4, name="elsewhere")
        assert "no JACK server runs" in playout.wait_for("failed")["reason"]
        playout.send(type="quit")
        assert playout.wait_end() == exit_codes.DONE


def test_a_device_that_opens_but_does_not_start_ends_nothing(buffer: TimelineBuffer) -> None:
    module = "tests.bridge.playout.unstartable_playout"
    with EngineThread(buffer, TONE), Playout(buffer, module=module, device_name=CARD) as playout:
        ready = playout.wait_for("ready")
        assert (ready["output"], ready["wish"]["device_name"]) == ("null", CARD)
        assert f"{CARD} cannot be started" in ready["reason"]
        beat = playout.wait_for("heartbeat", lambda m: m["state"] == "live")
        playout.wait_for("heartbeat", lambda m: m["reader_sample"] > beat["reader_sample"])
        playout.send(type="device", id=4, name=CARD)
        assert f"{CARD} cannot be started" in playout.wait_for("failed")["reason"]
        playout.send(type="quit")
        assert playout.wait_end() == exit_codes.DONE
    assert not [m for m in playout.messages if m["type"] == "applied"]
