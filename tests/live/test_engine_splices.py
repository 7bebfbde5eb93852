"""What a live session needs beside going back: controls of then or of now, another timeline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError, ParameterError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.model.notes import Note
from tests.live.conftest import SHORT, EngineMaker

END = 140
TUNE = melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0)
WIDE = EngineOptions(window_seconds=4.0, context_seconds=1.2, history_seconds=10.0)


def start(engine: Engine) -> Engine:
    engine.set_parameter("seed", 5)
    engine.set_prompt("deep house")
    engine.set_tempo(120.0)
    return engine


def play(engine: Engine, end: int = END, chunk: int = 20) -> np.ndarray:
    while engine.next_frame < end:
        engine.step(min(chunk, end - engine.next_frame))
    return engine.codes(0, end - 3)


def test_truncated_controls_are_as_if_never_set(engine_of: EngineMaker) -> None:
    plain = play(start(engine_of("frame")))
    engine = start(engine_of("frame"))
    play(engine, 90)
    engine.set_attribute("drums", False)
    engine.set_prompt("rain", 2, weight=1.0, ramp_frames=30)
    engine.set_melody(TUNE, at_frame=120)
    play(engine, 130)
    engine.truncate_controls(80)
    assert engine.next_frame == 80
    assert np.array_equal(play(engine), plain)


def test_moved_controls_are_those_of_later(engine_of: EngineMaker) -> None:
    """A ramp that is half done goes on, and a melody keeps its place against what follows."""
    engine = start(engine_of("frame"))
    play(engine, 50)
    engine.set_prompt("rain", 2, weight=1.0, ramp_frames=40)
    engine.set_attribute("drums", False)
    engine.set_melody(TUNE)
    play(engine, 80)
    engine.set_parameter("temperature", 0.8, at_frame=95)
    engine.move_controls(70, 40)
    moved = engine.session.stream.score
    planned = start(engine_of("frame")).session.stream.score
    assert engine.next_frame == 40
    # The ramp's values of frames 70 to 95 by hand: its step is 1/41 a frame from frame 50 on.
    for frame in range(70, 95):
        wanted = min(1.0, (frame - 50 + 1) / 41)
        assert moved.at("weight/2", frame - 30) == pytest.approx(wanted, abs=1e-12)
    assert moved.at("temperature", 64) == 1.0
    assert moved.at("temperature", 65) == 0.8
    assert moved.at("attribute/drums", 39) is None
    assert moved.at("attribute/drums", 40) is False
    assert moved.at("melody", 40).start_frame == 50 - 30
    assert moved.at("weight/0", 39) == planned.at("weight/0", 39)


def test_an_excerpt_is_the_same_controls_from_frame_0(engine_of: EngineMaker) -> None:
    engine = start(engine_of("frame"))
    engine.set_weight(0, 0.2, ramp_frames=60, at_frame=20)
    engine.set_melody(TUNE, at_frame=30)
    engine.set_parameter("cfg", 2.0, at_frame=90)
    engine.roll_window(at_frame=45)
    whole = engine.session.stream.score
    part = whole.excerpt(40, 80, 95)
    for frame in range(40, 80):
        for key in ("prompt/0", "seed", "cfg"):
            assert part.at(key, frame - 40) == whole.at(key, frame)
        assert part.at("weight/0", frame - 40) == pytest.approx(whole.at("weight/0", frame))
    assert part.at("melody", 0).start_frame == 30 - 40
    assert part.at("cfg", 40) == 2.0, "what stands at 95 holds from 80 on"
    assert part.at("weight/0", 40) == 0.2
    assert part.next_change("roll", -1) is None


def test_a_window_can_be_rolled_at_any_frame(engine_of: EngineMaker, tmp_path: Path) -> None:
    """It is a control like any other: planned, live, replayed or restored, the music is one."""
    planned = start(engine_of("text", WIDE))
    planned.roll_window(at_frame=77)
    expected = play(planned)
    assert planned.windows_rolled == 1
    assert not np.array_equal(expected, play(start(engine_of("text", WIDE))))

    live = start(engine_of("text", WIDE))
    play(live, 120)
    live.roll_window(at_frame=77)
    assert np.array_equal(play(live), expected)
    live.rollback(60)
    assert np.array_equal(play(live, chunk=7), expected)
    live.rollback(77)
    live.snapshot(tmp_path / "here", with_cache=False)
    log = json.loads(json.dumps(live.log()))
    assert np.array_equal(play(Engine.replay(live.model, log)), expected)
    fresh = engine_of("text", WIDE)
    fresh.restore(tmp_path / "here")
    assert np.array_equal(play(fresh), expected)


def test_what_going_back_costs(engine_of: EngineMaker) -> None:
    engine = start(engine_of("text", WIDE))
    play(engine, 380, chunk=50)  # rolled at 200, where only two whole bars ... are kept
    assert engine.steps_to_return(380) == 0
    assert engine.steps_to_return(350) == 0
    engine.release_memory()
    assert engine.steps_to_return(350) == 0, "the cache in use is kept"
    in_first_window = engine.session.stream.windows[1].since - 20
    assert engine.steps_to_return(in_first_window) == in_first_window
    expected = play(engine, 420, chunk=50)
    engine.rollback(in_first_window)
    assert engine.next_frame == in_first_window
    assert np.array_equal(play(engine, 420, chunk=50), expected)


def test_fewer_bars_can_be_kept(engine_of: EngineMaker) -> None:
    """At 240 bpm a bar has 50 frames: 60 frames of context hold one, 100 would hold two."""
    options = EngineOptions(window_seconds=4.0, context_seconds=2.2, history_seconds=10.0)
    starts = {}
    for bars in (0, 1, 2, 64):
        engine = engine_of("text", options)
        engine.set_tempo(240.0)
        engine.set_parameter("context_bars", bars)
        play(engine, 260, chunk=50)
        starts[bars] = [(w.since, w.start) for w in engine.session.stream.windows]
    assert starts[0] == starts[2] == starts[64] == [(0, 0), (200, 100)]
    assert starts[1] == [(0, 0), (200, 150)]


def test_a_timeline_is_joined_and_heard_from_its_frame_on(engine_of: EngineMaker) -> None:
    host = Timeline.start(100.0, 3).with_tempo(300, 140.0)
    planned = start(engine_of("frame"))
    planned.join_timeline(host, 280, at_frame=70)
    expected = play(planned)
    assert planned.timeline is not None
    for frame in range(70, END):
        mine, theirs = planned.timeline.clock_at(frame), host.clock_at(frame + 210)
        assert mine.bpm == theirs.bpm
        assert mine.bar_phase == pytest.approx(theirs.bar_phase, abs=1e-12)
    live = start(engine_of("frame"))
    before = play(live)
    live.join_timeline(host, 280, at_frame=70)
    assert live.next_frame == 70
    assert np.array_equal(play(live), expected)
    assert np.array_equal(expected[0, :70], before[0, :70])
    assert not np.array_equal(expected, before)
    log = json.loads(json.dumps(live.log()))
    assert np.array_equal(play(Engine.replay(live.model, log)), expected)


def test_a_first_timeline_may_be_a_hosts(engine_of: EngineMaker) -> None:
    engine = engine_of("frame")
    engine.join_timeline(Timeline.start(90.0), 130, at_frame=10)
    assert engine.timeline == Timeline.start(90.0).excerpt(130, 10)
    with pytest.raises(ParameterError, match="75 frames a second"):
        engine.join_timeline(Timeline.start(90.0, frame_rate_hz=75), 0)


def test_audio_is_given_out_again_and_nothing_is_made_again(engine_of: EngineMaker) -> None:
    engine = start(engine_of("text"))
    chunks = [engine.step(20) for _ in range(5)]
    audio = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    engine.replay_audio(60)
    assert engine.next_frame == 100
    assert engine.next_sample == 60 * 640 - engine.model.codec.codec.config.lookahead_samples
    again = engine.step(1)
    first = again.first_sample
    assert np.abs(again.samples[:, : audio.shape[1] - first] - audio[:, first:]).max() < 1e-6
    with pytest.raises(HistoryError, match="0 to 98"):
        engine.replay_audio(99)


def test_given_frames_need_not_be_heard(engine_of: EngineMaker, tmp_path: Path) -> None:
    source = start(engine_of("text", WIDE))
    given = play(source, 163)
    whole, part = engine_of("text", WIDE), engine_of("text", WIDE)
    whole.continue_codes(given)
    part.continue_codes(given, audio_from=100)
    heard, short = whole.step(30), part.step(30)
    assert np.array_equal(whole.codes(0, 187), part.codes(0, 187))
    assert part.next_sample == whole.next_sample
    assert short.first_sample == 100 * 640
    # The decoder begins without a past: two seconds on, nothing is left of that.
    same = heard.samples[:, 160 * 640 :] - short.samples[:, 60 * 640 :]
    assert np.abs(same).max() < 1e-3 * np.abs(heard.samples).max()
    part.rollback(170)
    part.snapshot(tmp_path / "here")
    fresh = engine_of("text", WIDE)
    fresh.restore(tmp_path / "here")
    one, two = part.step(20), fresh.step(20)
    assert one.first_sample == two.first_sample
    assert np.array_equal(one.samples, two.samples)
    with pytest.raises(ParameterError, match="0 to 160"):
        part.continue_codes(given, audio_from=161)


def test_memory_is_released_at_any_moment(engine_of: EngineMaker) -> None:
    expected = play(start(engine_of("melody", SHORT)))
    engine = start(engine_of("melody", SHORT))
    while engine.next_frame < END:
        engine.step(7)
        engine.release_memory()
        assert len(engine.parts.pool.slots) <= 1
    assert np.array_equal(engine.codes(0, END - 3), expected)
