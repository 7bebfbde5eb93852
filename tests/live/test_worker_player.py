"""The worker's loop: ahead of the playhead, changes soon heard, many changes in one going back."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, BPM, HOP, OPTIONS, Rig


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    return Rig(models["frame"])


def planned(model: MusicGen) -> Engine:
    """An engine that knows from the start what the rig's was told."""
    engine = Engine(model, OPTIONS)
    engine.set_parameter("seed", 7)
    engine.set_prompt("deep house")
    engine.set_tempo(BPM)
    return engine


def audio_of(engine: Engine, frames: int) -> np.ndarray:
    parts = []
    while engine.next_frame < frames + 8:
        parts.append(engine.step(min(16, frames + 8 - engine.next_frame)).samples)
    return np.concatenate(parts, axis=1)[:, : frames * HOP]


def test_it_runs_ahead_and_then_rests(rig: Rig) -> None:
    rig.fill()
    assert 1000 - 16 * 20 <= rig.buffer.snapshot().written_end / 32 <= 1020
    made = rig.stage.engine.next_frame
    for _ in range(20):
        rig.loop.turn()
    assert rig.stage.engine.next_frame == made, "nothing is made while the lead is full"
    rig.move(30)
    rig.fill()
    assert rig.stage.engine.next_frame > made
    rig.tell("lead", lead_ms=200)
    rig.play(120)
    ahead_ms = (rig.buffer.snapshot().written_end - rig.reader_sample) / 32
    assert 100 <= ahead_ms <= 220, "the lead, to a frame"
    assert np.isfinite(rig.heard).all()


def test_what_is_heard_is_what_an_engine_makes(rig: Rig, models: dict[str, MusicGen]) -> None:
    rig.play(150)
    expected = audio_of(planned(models["frame"]), 150)
    assert np.abs(rig.heard_samples(0, 150) - expected).max() < 1e-6
    assert rig.of_kind("ready")[0]["attributes"] == ["drums", "bass", "lead"]


def test_a_change_is_heard_soon_and_as_if_planned(rig: Rig, models: dict[str, MusicGen]) -> None:
    rig.play(60)
    asked_at = rig.reader_frame
    identity = rig.command("attr/set", "drums", "off")
    rig.fill()
    frame = rig.applied_at(identity)
    assert asked_at < frame <= asked_at + 6, "right after what is committed"
    rig.play(100)
    engine = planned(models["frame"])
    engine.set_attribute("drums", False, at_frame=frame)
    expected = audio_of(engine, 150)
    assert np.array_equal(rig.codes(0, 150), engine.codes(0, 150))
    # What was committed before is as it was; there is a crossfade of 10 ms, and then the new.
    first = (frame + 1) * HOP
    assert np.abs(rig.heard_samples(0, 150)[:, first:] - expected[:, first:]).max() < 1e-6
    before = audio_of(planned(models["frame"]), 60)
    assert np.abs(rig.heard_samples(0, 60) - before).max() < 1e-6


def test_a_change_at_a_frame_ahead_needs_no_going_back(
    rig: Rig, models: dict[str, MusicGen]
) -> None:
    rig.fill()
    rollbacks = count_rollbacks(rig)
    identity = rig.command("prompt/set", 1, "brass", 0.5, 10, frame=100)
    rig.loop.turn()
    assert rig.applied_at(identity) == 100, "answered when it is scheduled"
    rig.play(140)
    assert rollbacks == []
    engine = planned(models["frame"])
    engine.set_prompt("brass", 1, weight=0.5, ramp_frames=10, at_frame=100)
    expected = audio_of(engine, 140)
    assert np.array_equal(rig.codes(0, 140), engine.codes(0, 140))
    assert np.abs(rig.heard_samples(0, 140) - expected).max() < 1e-6


def count_rollbacks(rig: Rig) -> list[int]:
    """The frames that the engine goes back to from now on."""
    frames: list[int] = []
    session = rig.stage.engine.session
    rollback = session.rollback

    def counted(frame: int) -> None:
        frames.append(frame)
        rollback(frame)

    session.rollback = counted  # type: ignore[method-assign]
    return frames


def test_many_changes_at_once_go_back_once(rig: Rig, models: dict[str, MusicGen]) -> None:
    rig.play(60)
    rollbacks = count_rollbacks(rig)
    identities = [rig.command("param/set", "cfg", 1 + i / 100) for i in range(300)]
    identities += [
        rig.command("prompt/set", 0, "rain", 0.7, 0),
        rig.command("attr/set", "bass", "on"),
        rig.command("melody/mode", "follow"),
        rig.command("melody/note_on", 64, 100),
        rig.command("param/set", "temperature", 0.9, frame=85),
        rig.command("param/set", "top_k", 40, frame=10),
    ]
    rig.fill()
    assert len(rollbacks) == 1
    frames = {identity: rig.applied_at(identity) for identity in identities}
    assert len(set(frames.values())) == 2, "all of them where the last is, but for frame 85"
    frame, late = min(frames.values()), frames[identities[-2]]
    assert (late, frames[identities[-1]]) == (85, frame)
    rig.play(60)
    engine = planned(models["frame"])
    engine.set_parameter("cfg", 1 + 299 / 100, at_frame=frame)
    engine.set_prompt("rain", weight=0.7, at_frame=frame)
    engine.set_attribute("bass", True, at_frame=frame)
    engine.set_parameter("top_k", 40, at_frame=frame)
    engine.set_parameter("temperature", 0.9, at_frame=85)
    engine.set_melody(
        rig.stage.engine.session.stream.score.at("melody", frame).melody, at_frame=frame
    )
    audio_of(engine, 110)
    assert np.array_equal(rig.codes(0, 110), engine.codes(0, 110))


def test_changes_without_end_leave_the_music_whole(rig: Rig) -> None:
    """A knob that is turned all the time, at two turns of the loop for each step of the music."""
    rig.play(60)
    for number in range(60):
        rig.command("param/set", "temperature", 0.5 + number / 100)
        for _ in range(3):
            rig.loop.turn()
        rig.move(1)
    rig.play(40)
    assert np.isfinite(rig.heard).all()
    assert rig.of_kind("error") == []
    assert len(rig.of_kind("applied")) == 60


def test_a_wrong_command_fails_and_nothing_else(rig: Rig) -> None:
    rig.play(30)
    wrong = [
        rig.command("prompt/set", 0, "", 1.0, 0),
        rig.command("prompt/set", 9, "a", 1.0, 0),
        rig.command("param/set", "speed", 1),
        rig.command("attr/set", "choir", "on"),
        rig.command("attr/set", "drums", "perhaps"),
        rig.command("gen/undo", 0),
        rig.command("gen/sing"),
        rig.command("melody/note_on", 200, 100),
        rig.command("bank/load", "/nowhere/at/all"),
        rig.command("prompt/weight", 0),
    ]
    rig.fill()
    reasons = [rig.answer(identity) for identity in wrong]
    assert all(answer["type"] == "failed" for answer in reasons)
    for answer, text in zip(
        reasons,
        (
            "1 to 2000",
            "0 to 7",
            "temperature",
            "drums, bass",
            "on, off, free",
            "1 to",
            "not know",
            "0 to 127",
            "no such bank",
            "prompt/weight",
        ),
        strict=True,
    ):
        assert text in answer["reason"]
    rig.play(30)
    assert rig.of_kind("error") == []


def test_a_change_while_the_transport_stands_still(rig: Rig) -> None:
    """Again and again from the same frame on: the last one counts, and nothing wears out."""
    from musicgen_rt.contract.buffer_snapshot import PlayoutState

    rig.play(60)
    rig.buffer.publish_state(PlayoutState.STOPPED, 0)
    commit = rig.buffer.snapshot().commit_sample
    for value in ("on", "off", "free", "on", "off"):
        identity = rig.command("attr/set", "drums", value)
        rig.fill()
        assert rig.applied_at(identity) == commit // HOP
    score = rig.stage.engine.session.stream.score
    assert score.at("attribute/drums", commit // HOP) is False
    rig.play(40)
    assert np.isfinite(rig.heard).all()


def test_a_new_tempo_is_the_engines_from_its_frame_on(
    rig: Rig, models: dict[str, MusicGen]
) -> None:
    rig.play(60)
    host = rig.timeline.with_tempo(70, 400.0, 3)
    rig.tell("timeline", timeline=host.to_json(), frame=70)
    rig.play(80)
    engine = planned(models["frame"])
    engine.set_tempo(400.0, 3, at_frame=70)
    audio_of(engine, 130)
    assert np.array_equal(rig.codes(0, 130), engine.codes(0, 130))
    assert rig.player.timeline == host


def test_a_tempo_for_what_is_played_already_counts_from_now_on(rig: Rig) -> None:
    rig.play(60)
    host = Timeline.start(600.0)
    rig.tell("timeline", timeline=host.to_json(), frame=10)
    rig.fill()
    timeline = rig.stage.engine.timeline
    assert timeline is not None
    assert timeline.bpm_at(60) == BPM
    assert timeline.bpm_at(70) == 600.0
    for frame in range(70, 90):
        assert timeline.clock_at(frame).bar_phase == pytest.approx(
            host.clock_at(frame).bar_phase, abs=1e-12
        )


def test_bars_kept_are_a_control(rig: Rig) -> None:
    rig.tell("lead", lead_ms=1000, context_bars=1)
    rig.play(240, step=10)
    window = rig.stage.engine.session.stream.windows[-1]
    assert window.since - window.start == BAR
