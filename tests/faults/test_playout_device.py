"""The audio device dies, hangs and comes back: JACK's server under a real playout process."""

from __future__ import annotations

import time

import pytest

from bridge.playout import exit_codes
from musicgen_rt.evaluate.jack_recording import JackRecording
from tests.bridge.jack_server import jack_server
from tests.bridge.playout.child import EngineThread, Playout, new_buffer
from tests.bridge.playout.jack_rig import frame_over, slowdown
from tests.bridge.playout.twin import assert_invariant_v, sine

pytestmark = pytest.mark.jack

OPTIONS = {"output": "jack", "device_name": "system"}


def test_f09_f11_a_device_that_is_lost_is_seen_and_found_again_by_its_name() -> None:
    buffer = new_buffer()
    with jack_server() as server, EngineThread(buffer, sine(220)):
        with Playout(buffer, server.environment, **OPTIONS) as playout:
            playout.wait_for("state", lambda m: m["state"] == "live")
            began = time.monotonic()
            server.kill()
            playout.wait_for("device_lost")
            assert time.monotonic() - began < 0.25 * slowdown()
            assert playout.wait_end() == exit_codes.DEVICE_LOST
        stood_at = buffer.snapshot().commit_sample
        with Playout(buffer, server.environment, **OPTIONS) as playout:
            ready = playout.wait_for("ready")
            assert (ready["output"], bool(ready["reason"])) == ("null", True)
            # Meanwhile the music's time goes on from where it was.
            playout.wait_for("heartbeat", lambda m: m["reader_sample"] > stood_at)
            server.start()
            began = time.monotonic()
            with JackRecording(server) as recorder:
                ready = playout.wait_for("ready", lambda m: m["output"] == "device")
                first, _ = recorder.monotonic_seconds(frame_over(recorder, 0.4))
                assert first - began < 1.0 * slowdown()
                playout.wait_for("heartbeat")
                playout.wait_for("heartbeat")
                stretches = [one.samples for one in recorder.stretches()]
    buffer.close()
    assert (ready["output"], ready["device"], ready["reason"]) == ("device", "system", None)
    for samples in stretches:
        assert_invariant_v(samples, max_step=0.05, max_hole=None)


def test_f10_a_device_that_hangs_is_seen_by_the_heartbeat() -> None:
    """PortAudio calls the stream active all the while."""
    buffer = new_buffer()
    with (
        jack_server() as server,
        EngineThread(buffer, sine(220)),
        Playout(buffer, server.environment, **OPTIONS) as playout,
    ):
        playout.wait_for("state", lambda m: m["state"] == "live")
        playout.wait_for("heartbeat")
        server.freeze()
        began = time.monotonic()
        playout.wait_for("heartbeat", lambda m: m["callback_gap_ms"] > 250)
        assert time.monotonic() - began < 1.0 * slowdown()
        lost = playout.wait_for("device_lost")
        assert "has not asked for samples" in lost["text"]
        assert playout.wait_end() == exit_codes.DEVICE_LOST
    buffer.close()


def test_a_device_that_came_while_another_played_is_opened_on_request() -> None:
    """Every JACK client that listens is a device to PortAudio: one more is as a card plugged in."""
    buffer = new_buffer()
    with (
        jack_server() as server,
        EngineThread(buffer, sine(220)),
        Playout(buffer, server.environment, **OPTIONS) as playout,
    ):
        playout.wait_for("state", lambda m: m["state"] == "live")
        with JackRecording(server) as recorder:
            recorder.wait_for_sound()
            playout.send(type="device", id=1, name="recordre")
            assert "'recorder'" in playout.wait_for("failed")["reason"]
            assert not [m for m in playout.messages[1:] if m["type"] == "ready"]
            playout.send(type="device", id=2, name="recorder")
            assert playout.wait_for("ready")["output"] == "null"
            ready = playout.wait_for("ready")
            assert (ready["device"], ready["wish"]["device_name"]) == ("recorder", "recorder")
            playout.wait_for("applied", lambda m: m["id"] == 2)
            playout.wait_for("heartbeat", lambda m: m["peak_db"] > -20)
            recorder.wait_for_sound()
            playout.send(type="quit")
            assert playout.wait_end() == exit_codes.DONE
    buffer.close()
