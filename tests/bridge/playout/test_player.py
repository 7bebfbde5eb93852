"""The whole playout on the offline twin: transport, levels, positions, messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.playout.player import BLOCK_SECONDS
from musicgen_rt.contract.buffer_snapshot import PlayoutState
from musicgen_rt.contract.timeline import Timeline
from tests.bridge.playout.twin import (
    BAR_SAMPLES,
    HOP_SAMPLES,
    RATE_HZ,
    TwinOutput,
    VirtualClock,
    assert_invariant_v,
    holes,
    sine,
    twin,
)

OUT_HZ = 48000
TONE = sine(220)


def test_the_engine_s_tone_is_heard_at_its_pitch_and_level() -> None:
    with twin(TONE) as t:
        t.run(3)
        heard = t.heard
    assert_invariant_v(heard[1000:], max_step=0.02, max_hole=2)
    music = heard[OUT_HZ:, 0]
    spectrum = np.abs(np.fft.rfft(music * np.hanning(len(music))))
    assert spectrum.argmax() * OUT_HZ / len(music) == pytest.approx(220, abs=1)
    assert np.abs(music).max() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(heard[:, 0], heard[:, 1])


def test_there_is_no_underrun_and_the_horizon_is_short() -> None:
    with twin(TONE) as t:
        t.run(2)
        beats = t.said("heartbeat")[3:]
        seen = t.buffer.snapshot()
    assert seen.underruns == 0
    assert min(beat["fill_min_ms"] for beat in beats) > 20
    # All that can no longer be changed: queue, one block, what is in hand, filters.
    assert max(b["commit_sample"] - b["reader_sample"] for b in beats) < 0.075 * RATE_HZ


def test_positions_say_which_sample_the_device_takes() -> None:
    """A tone that jumps in level at a bar line: the map must find the line in the output."""

    def stepped(sample: np.ndarray) -> np.ndarray:
        return np.where(sample < BAR_SAMPLES, 0.1, 0.5) * np.sin(
            2 * np.pi * 1000 * sample / RATE_HZ
        )

    with twin(stepped) as t:
        t.run(2.5)
        heard = t.heard[:, 0]
        positions = t.player._stage.positions
        edge = int(np.flatnonzero(np.abs(heard) > 0.2)[0])
        # The map keeps a good second; the edge is half a second old.
        assert positions.session_sample(edge) == pytest.approx(BAR_SAMPLES, abs=12)
        taken = t.output.written - t.output.queued()
        t.player.step()
        seen = t.buffer.snapshot()
    assert seen.reader_sample == pytest.approx(positions.session_sample(taken), abs=1)
    assert seen.dac_sample == pytest.approx(seen.reader_sample, abs=400)
    assert seen.dac_time_ns == pytest.approx(t.clock(), abs=20e6)


def test_stop_at_a_bar_line_is_exact_and_play_goes_on_from_there() -> None:
    """The sample after the line is the first that is heard again; the playhead stood still."""
    with twin(lambda n: np.where(n < BAR_SAMPLES, 0.3, 0.6) * np.sin(n * 0.05)) as t:
        t.run(1)
        t.send(type="gate", id=5, is_open=False, sample=BAR_SAMPLES)
        t.run(2)
        assert t.said("applied") == [{"type": "applied", "id": 5, "sample": BAR_SAMPLES}]
        seen = t.buffer.snapshot()
        assert (seen.state, seen.reader_sample) == (PlayoutState.STOPPED, BAR_SAMPLES)
        stopped = t.heard
        t.send(type="gate", id=6, is_open=True)
        t.run(1)
        heard = t.heard
    assert np.abs(stopped).max() < 0.31  # nothing of what begins on the line
    gaps = [gap for gap in holes(heard[1000:]) if gap > 500]
    assert len(gaps) == 1
    assert gaps[0] > 0.9 * OUT_HZ
    assert_invariant_v(heard[1000:], max_step=0.05, max_hole=None)
    assert t.said("applied")[-1] == {"type": "applied", "id": 6, "sample": BAR_SAMPLES}
    assert np.abs(heard[-OUT_HZ // 2 :]).max() == pytest.approx(0.6, abs=0.01)


def test_stop_and_play_at_any_moment_make_no_click() -> None:
    chance = np.random.default_rng(8)
    with twin(TONE) as t:
        t.run(0.5)
        for id in range(30):
            t.send(type="gate", id=id, is_open=bool(id % 2))
            t.run(float(chance.uniform(0.001, 0.08)))
        heard = t.heard
    assert_invariant_v(heard[1000:], max_step=0.03, max_hole=None)
    answered = [m["id"] for m in t.messages if m["type"] in ("applied", "failed")]
    assert sorted(answered) == list(range(30))


def test_gain_and_mute_take_effect_at_their_sample() -> None:
    with twin(TONE) as t:
        t.run(0.5)
        t.send(type="gain", id=1, gain_db=-12.0, sample=RATE_HZ, ramp_ms=20)
        t.send(type="mute", id=2, is_muted=True, sample=2 * RATE_HZ)
        t.run(2.5)
        heard = t.heard[:, 0]
    assert [m["id"] for m in t.said("applied")] == [1, 2]
    assert np.abs(heard[int(0.9 * OUT_HZ) : int(0.99 * OUT_HZ)]).max() > 0.49
    assert np.abs(heard[int(1.2 * OUT_HZ) : int(1.9 * OUT_HZ)]).max() == pytest.approx(
        0.126, abs=0.002
    )
    assert np.abs(heard[int(2.2 * OUT_HZ) :]).max() == 0
    assert_invariant_v(t.heard[1000:], max_step=0.02, max_hole=None)


@pytest.mark.parametrize("bpm", [100, 140])
def test_what_is_asked_for_at_a_line_goes_with_the_line_when_the_tempo_changes(bpm: float) -> None:
    """A level at beat 2, a mute at beat 3, the end at beat 4; and one level at a sample."""
    with twin(TONE) as t:
        t.run(0.4)
        beat_samples = RATE_HZ // 2
        t.send(type="gain", id=1, gain_db=-6.0, sample=2 * beat_samples, ramp_ms=0, beat=2.0)
        t.send(type="gain", id=2, gain_db=-9.0, sample=2 * beat_samples + 9600, ramp_ms=0)
        t.send(type="mute", id=3, is_muted=True, sample=3 * beat_samples, beat=3.0)
        t.send(type="gate", id=4, is_open=False, sample=4 * beat_samples, beat=4.0)
        t.run(0.05)
        timeline = Timeline.start(120).with_tempo(30, bpm)
        t.send(type="timeline", timeline=timeline.to_json(), frame=30)
        t.run(3)
    found = {m["id"]: m["sample"] for m in t.said("applied")}
    block_samples = BLOCK_SECONDS * RATE_HZ
    for id, beat in ((1, 2), (3, 3), (4, 4)):
        # Levels begin with a block that is played.
        assert 0 <= timeline.frame_at(beat) * HOP_SAMPLES - found[id] < block_samples, (
            f"beat {beat}"
        )
    assert 0 <= 2 * beat_samples + 9600 - found[2] < block_samples, "a moment of the clock stays"
    assert found[4] == round(timeline.frame_at(4) * HOP_SAMPLES)


def test_requests_are_answered_while_the_playhead_stands() -> None:
    with twin(TONE, is_open=False) as t:
        t.run(0.2)
        t.send(type="gain", id=1, gain_db=-12.0, sample=None, ramp_ms=0)
        t.send(type="gate", id=2, is_open=False, sample=None)
        t.run(0.1)
    assert [m["id"] for m in t.said("applied")] == [2, 1]


def test_a_change_by_the_engine_is_heard_after_the_horizon() -> None:
    """The rewrite at the commit point is the knob: it is heard within 75 ms, without a click."""
    with twin(TONE) as t:
        t.run(1)
        first = t.buffer.snapshot().commit_sample + 320
        taken = t.output.written - t.output.queued()
        t.engine.signal = sine(880)
        t.engine.write(first, fade_samples=320)
        t.run(1)
        heard = t.heard[:, 0]
    changed = heard[taken:]
    steps = np.abs(np.diff(changed))
    onset = int(np.flatnonzero(steps > 0.03)[0])
    assert onset < 0.085 * OUT_HZ
    assert_invariant_v(t.heard[1000:], max_step=0.07, max_hole=2)


@pytest.mark.parametrize(("session", "device"), [(1, 2), (2, 1), (2, 2), (1, 1), (2, 4)])
def test_channels_are_matched(session: int, device: int) -> None:
    def output(clock: VirtualClock) -> TwinOutput:
        return TwinOutput(clock, channels=device)

    with twin(TONE, channels=session, output=output) as t:
        t.run(0.5)
        heard = t.heard[8000:]
    assert heard.shape[1] == device
    loud = np.abs(heard).max(axis=0)
    assert loud[: min(device, 2)] == pytest.approx(0.5, abs=0.01)
    assert (loud[2:] == 0).all()


def test_a_recording_holds_what_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    with twin(TONE) as t:
        t.run(0.3)
        before = len(t.heard)
        t.send(type="record", id=1, path=str(path))
        t.send(type="record", id=2, path=str(tmp_path / "other.wav"))
        t.run(0.5)
        t.send(type="record", id=3, path=None)
        heard = t.heard[before:]
        t.player.sinks.close()
    recorded, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(recorded, heard, atol=2**-23)
    on, off = t.said("recording")
    assert on == {
        "type": "recording",
        "path": str(path),
        "is_on": True,
        "samples": 0,
        "error": None,
    }
    assert (off["is_on"], off["samples"], off["error"]) == (False, len(heard), None)
    assert [m["id"] for m in t.said("failed")] == [2]


def test_pcm_carries_the_device_s_samples_with_their_place() -> None:
    with twin(TONE, pcm=True) as t:
        t.run(1)
        heard = t.heard
        pairs = [
            (m, np.frombuffer(p, np.float32).reshape(-1, 2))
            for m, p in zip(t.messages, t.payloads, strict=True)
            if m["type"] == "pcm"
        ]
        t.send(type="pcm", is_on=False)
        count = len(t.said("pcm"))
        t.run(0.2)
        assert len(t.said("pcm")) == count
    np.testing.assert_array_equal(np.concatenate([block for _, block in pairs]), heard)
    assert [m["seq"] for m, _ in pairs] == list(range(len(pairs)))
    header, block = pairs[100]
    assert (header["rate_hz"], header["channels"], header["is_playing"]) == (OUT_HZ, 2, True)
    n = header["sample"] + np.arange(len(block)) * RATE_HZ / OUT_HZ
    np.testing.assert_allclose(block[:, 0], 0.5 * np.sin(2 * np.pi * 220 * n / RATE_HZ), atol=0.03)


def test_another_output_takes_over_without_a_click() -> None:
    with twin(TONE) as t:
        t.run(0.5)
        first = t.output
        second = TwinOutput(t.clock, rate_hz=44100)
        t.player.change_output(second)
        t.output = second
        t.run(0.5)
        at = t.buffer.snapshot()
    assert first.is_closed
    assert_invariant_v(first.heard[1000:], max_step=0.04, max_hole=40)
    assert np.abs(first.heard[-2:]).max() < 0.01
    assert_invariant_v(second.heard[2000:], max_step=0.02, max_hole=40)
    assert np.abs(second.heard[:10]).max() < 0.01
    assert at.reader_sample == pytest.approx(RATE_HZ, abs=0.1 * RATE_HZ)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "dance", "id": 1},
        {"type": "gate", "id": 1},
        {"type": "gain", "id": 1, "gain_db": "loud"},
        {"type": "gain", "id": 1, "gain_db": float("nan")},
        {"type": "gate", "id": 1, "is_open": False, "sample": "soon"},
        {"type": "timeline", "id": 1, "timeline": {}},
        {"type": "record", "id": 1, "path": "take.mp3"},
    ],
)
def test_what_cannot_be_done_is_answered_and_the_music_goes_on(message: dict[str, object]) -> None:
    with twin(TONE) as t:
        t.run(0.2)
        t.send(**message)
        t.run(0.2)
        assert_invariant_v(t.heard[1000:], max_step=0.02, max_hole=2)
    failures = t.said("failed")
    assert [m["id"] for m in failures] == [1]
    assert failures[0]["reason"]


def test_a_timeline_moves_the_loop_s_grid() -> None:
    """The tempo doubles during the fallback: the way back is the new bar line."""
    with twin(TONE) as t:
        t.run(2.2)
        t.engine.is_alive = False
        t.run(0.8)
        frame = 200
        timeline = Timeline.start(120).with_tempo(frame, 240)
        t.send(type="timeline", timeline=timeline.to_json(), frame=frame)
        bar = timeline.bar_start_frame(3) * HOP_SAMPLES
        assert bar == 2.5 * BAR_SAMPLES
        t.engine.return_at(bar)
        t.run(3)
    assert [(m["is_on"], m["sample"]) for m in t.said("fallback")][1] == (False, bar)
