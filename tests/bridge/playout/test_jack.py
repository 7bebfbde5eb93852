"""The real thing: PortAudio's C callback into a JACK server, heard by another JACK client."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.evaluate.jack_recording import JackRecording
from tests.bridge.jack_server import jack_server
from tests.bridge.playout.child import EngineThread, Playout, new_buffer
from tests.bridge.playout.jack_rig import frame_over
from tests.bridge.playout.twin import RATE_HZ, assert_invariant_v

pytestmark = pytest.mark.jack

OUT_HZ = 48000
PERIOD_FRAMES = 512
LOUDER_AT = 2 * RATE_HZ


def _tone(sample: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 kHz, twice as loud from a certain session sample on."""
    level = np.where(sample < LOUDER_AT, 0.25, 0.5)
    return level * np.sin(2 * np.pi * 1000 * sample / RATE_HZ)


def test_every_sample_that_leaves_is_good_and_when_it_is_heard_is_known() -> None:
    """Music, a stop, a play and a change to the same device on the way."""
    buffer = new_buffer()
    with (
        jack_server(rate_hz=OUT_HZ, period_frames=PERIOD_FRAMES) as server,
        EngineThread(buffer, _tone),
        Playout(buffer, server.environment, output="jack", device_name="system") as playout,
        JackRecording(server) as recorder,
    ):
        ready = playout.wait_for("ready")
        assert (ready["output"], ready["rate_hz"], ready["reason"]) == ("device", OUT_HZ, None)
        heard_ns = _heard_ns(playout, buffer, LOUDER_AT + RATE_HZ // 4)
        frame_seconds, spread_seconds = recorder.monotonic_seconds(frame_over(recorder, 0.3))
        playout.send(type="gate", id=1, is_open=False, sample=None)
        playout.wait_for("heartbeat", lambda m: m["peak_db"] < -100)
        playout.send(type="gate", id=2, is_open=True, sample=None)
        last = playout.wait_for("heartbeat", lambda m: m["peak_db"] > -7)
        stretches = [one.samples for one in recorder.stretches()]
        playout.send(type="device", id=3, name="system")
        playout.wait_for("ready")
        playout.wait_for("applied", lambda m: m["id"] == 3)
        playout.wait_for("heartbeat", lambda m: m["peak_db"] > -7)
        playout.send(type="devices", id=5)
        assert "system" in playout.wait_for("applied")["devices"]
        playout.send(type="device", id=4, name="elsewhere")
        assert "no device is named 'elsewhere'" in playout.wait_for("failed")["reason"]
        playout.send(type="quit")
        assert playout.wait_end() == 0
    buffer.close()
    if not stretches:
        pytest.skip("JACK itself missed periods all the time: too busy a machine to judge by ear")
    for samples in stretches:
        assert_invariant_v(samples, max_step=0.1, max_hole=None)
    assert max(np.abs(samples).max() for samples in stretches) == pytest.approx(0.5, abs=0.01)
    assert last["underruns"] == 0
    # The dummy driver says that it plays two periods later than the frame's time; JACK's own clock
    # jumps where the processors are busy.
    latency_seconds = heard_ns * 1e-9 - frame_seconds
    expected = pytest.approx(2 * PERIOD_FRAMES / OUT_HZ, abs=0.003 + spread_seconds)
    assert latency_seconds == expected


def test_a_driver_s_long_period_is_known_so_that_two_of_them_can_wait() -> None:
    """Else the queue of 40 ms would run dry in every period of 85."""
    buffer = new_buffer()
    with (
        jack_server(rate_hz=OUT_HZ, period_frames=4096) as server,
        EngineThread(buffer, _tone),
        Playout(buffer, server.environment, output="jack", device_name="system") as playout,
    ):
        assert playout.wait_for("ready")["block_frames"] == 4096
        beat = playout.wait_for("heartbeat", lambda m: m["peak_db"] > -20)
        fill_ms = [playout.wait_for("heartbeat")["fill_ms"] for _ in range(10)]
    buffer.close()
    assert max(fill_ms) > 1000 * 4096 / OUT_HZ, beat


def _heard_ns(playout: Playout, buffer: TimelineBuffer, until_sample: int) -> float:
    """When LOUDER_AT is heard, by what the playout publishes around it."""
    pairs = []
    beat = {"reader_sample": 0}
    while beat["reader_sample"] < until_sample:
        beat = playout.wait_for("heartbeat")
        seen = buffer.snapshot()
        assert seen.dac_sample is not None and seen.dac_time_ns is not None
        pairs.append((seen.dac_sample, float(seen.dac_time_ns)))
    samples, times_ns = np.array(pairs).T
    return float(np.interp(LOUDER_AT, samples, times_ns))
