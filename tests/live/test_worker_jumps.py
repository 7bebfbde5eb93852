"""Undo, retry, banks, skips: the music goes on elsewhere, on a bar line, to the token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import soundfile

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError
from musicgen_rt.live import jumps, take
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.player import Player
from musicgen_rt.live.score import Change
from musicgen_rt.model.musicgen import MusicGen
from tests.live.test_worker_player import audio_of, planned
from tests.live.worker_rig import BAR, BPM, HOP, OPTIONS, Rig


@pytest.fixture
def model(models: dict[str, MusicGen]) -> MusicGen:
    return models["frame"]


@pytest.fixture
def rig(model: MusicGen) -> Rig:
    return Rig(model, lead_ms=600)


def assert_heard(rig: Rig, frame: int, expected: np.ndarray, first: int, frames: int) -> None:
    """What was heard from session frame `frame` on is `expected` [C, N] from `first` on."""
    heard = rig.heard_samples(frame, frame + frames)
    assert np.abs(heard - expected[:, first * HOP : (first + frames) * HOP]).max() < 1e-6


def test_undo_brings_back_the_music_and_the_controls_of_then(rig: Rig, model: MusicGen) -> None:
    rig.play(80)
    rig.command("attr/set", "drums", "off")
    rig.command("prompt/set", 0, "hail", 1.0, 0)
    rig.play(8)
    changed_at = int(rig.reader_frame)
    identity = rig.command("gen/undo", 2)
    rig.play(80)
    frame = rig.applied_at(identity)
    assert frame % BAR == 0
    assert frame - changed_at < BAR + 8, "the next bar line"
    target = frame - 2 * BAR
    plain = audio_of(planned(model), 140)
    assert_heard(rig, frame, plain, target, 50)
    made = rig.stage.engine.next_frame - 3
    engine = planned(model)
    audio_of(engine, made)
    assert np.array_equal(rig.codes(0, made), engine.codes(0, made)), "as if never changed"
    state = rig.of_kind("state")[-1]
    assert state["attributes"]["drums"] == "free"
    assert state["prompts"]["0"] == "deep house"
    assert not np.isnan(rig.heard).any()


def test_undo_twice_goes_back_twice_as_far(rig: Rig, model: MusicGen) -> None:
    rig.play(120)
    one, two = rig.command("gen/undo", 1), rig.command("gen/undo", 2)
    rig.play(100)
    frame = rig.applied_at(one)
    assert rig.applied_at(two) == frame
    assert_heard(rig, frame, audio_of(planned(model), 140), frame - 3 * BAR, 40)


def test_of_jumps_to_one_line_only_the_last_makes_music(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.play(130)
    line = rig.timeline.next_bar_start_at_or_after(rig.player.next_frame + 1)
    calls: list[str] = []
    for name in ("splice_at", "play"):
        method = getattr(Player, name)

        def noted(
            player: Player, *args: object, name: str = name, method: Callable[..., object] = method
        ) -> object:
            calls.append(name)
            return method(player, *args)

        monkeypatch.setattr(Player, name, noted)
    commands = ("gen/retry", 1), ("gen/undo", 1), ("transport/reset",)
    jumped = [rig.command(*command, frame=line) for command in commands]
    rig.play(80)
    assert [rig.applied_at(identity) for identity in jumped] == [line] * 3
    first = calls.index("splice_at")
    assert calls[first : first + 3] == ["splice_at"] * 3
    assert calls.count("splice_at") == 3
    assert not np.isnan(rig.heard).any()


def test_undo_of_more_than_is_remembered_fails_and_changes_nothing(
    rig: Rig, model: MusicGen
) -> None:
    rig.play(60)
    identity = rig.command("gen/undo", 9)
    rig.play(40)
    assert rig.answer(identity)["type"] == "failed"
    assert "bars are remembered" in rig.answer(identity)["reason"]
    expected = audio_of(planned(model), 100)
    assert np.abs(rig.heard_samples(0, 100) - expected).max() < 1e-6


def test_undo_far_back_reads_a_window_anew(rig: Rig, model: MusicGen) -> None:
    """Across a roll whose cache is gone: a new window at the bar, as an engine would make it."""
    rig.play(320, step=8)
    rig.stage.engine.release_memory()
    identity = rig.command("gen/undo", 8)
    rig.play(60)
    frame = rig.applied_at(identity)
    target = frame - 8 * BAR
    engine = planned(model)
    engine.roll_window(at_frame=target)
    expected = audio_of(engine, target + 60)
    assert_heard(rig, frame, expected, target, 45)


def test_retry_is_other_music_under_todays_controls(rig: Rig, model: MusicGen) -> None:
    rig.play(80)
    rig.command("attr/set", "drums", "off")
    rig.play(20)
    identity = rig.command("gen/retry", 2)
    rig.play(80)
    frame = rig.applied_at(identity)
    seed = rig.of_kind("state")[-1]["params"]["seed"]
    assert seed != 7
    engine = planned(model)
    target = frame - 2 * BAR
    engine.set_parameter("seed", seed, at_frame=target)
    engine.set_attribute("drums", False, at_frame=target)
    assert_heard(rig, frame, audio_of(engine, 140), target, 40)


def test_a_bank_goes_on_the_same_each_time(rig: Rig, model: MusicGen, tmp_path: Path) -> None:
    path = tmp_path / "bank-1.safetensors"
    rig.play(72)
    changed_at = rig.command("attr/set", "bass", "on")
    rig.play(40)
    identity = rig.command("bank/save", str(path))
    rig.fill()
    assert rig.answer(identity)["type"] == "applied"
    assert path.stat().st_size < 300_000
    kept = take.load(path)
    assert kept.frames == 2 * BAR, "whole bars, as many as a window keeps"
    assert np.array_equal(kept.codes, rig.codes(50, 100)), "up to the last bar line heard"
    rig.command("attr/set", "bass", "off")
    rig.command("prompt/set", 0, "thunder", 1.0, 0)
    rig.play(40)
    heard = []
    for _ in range(2):
        identity = rig.command("bank/load", str(path))
        rig.play(90)
        frame = rig.applied_at(identity)
        heard.append(rig.heard_samples(frame, frame + 50))
        state = rig.of_kind("state")[-1]
        assert state["prompts"]["0"] == "deep house"
        assert state["attributes"]["bass"] == "on"
    assert np.abs(heard[0] - heard[1]).max() < 1e-6
    assert not np.isnan(rig.heard).any()
    # What an engine makes of these codes, told by hand what they were made under.
    engine = Engine(model, OPTIONS)
    engine.continue_codes(kept.codes)
    score, stream = engine.session.stream.score, engine.session.stream
    for key, value in (("seed", 7), ("prompt/0", "deep house"), ("weight/0", 1.0)):
        score.set(key, Change(0, value))
    score.set("attribute/bass", Change(rig.applied_at(changed_at) - 50, True))
    stream.timeline = Timeline.start(BPM)
    audio_of(engine, 110)
    assert np.array_equal(rig.codes(0, 110), engine.codes(0, 110))


@pytest.mark.parametrize("way", ["gen/undo", "bank/load"])
def test_how_much_is_kept_at_a_roll_is_a_setting_that_no_jump_takes_back(
    rig: Rig, tmp_path: Path, way: str
) -> None:
    rig.play(60)
    rig.command("bank/save", str(tmp_path / "one"))
    rig.play(40)
    rig.tell("lead", lead_ms=600, context_bars=2)
    rig.play(8)
    jumped = rig.command(way, 4 if way == "gen/undo" else str(tmp_path / "one"))
    rig.play(50)
    assert rig.answer(jumped)["type"] == "applied"
    score = rig.stage.engine.session.stream.score
    at = rig.player.splice.stream_frame
    assert [score.at("context_bars", frame) for frame in (at - 1, at, at + 30)] == [0, 2, 2]


def test_undo_to_the_line_of_a_recall_does_not_keep_what_only_the_recall_is_for(
    models: dict[str, MusicGen], tmp_path: Path
) -> None:
    """The line lies in a frame's second half: the recall begins with it, the undone bars after."""
    timeline = Timeline.start(492.0)
    rig = Rig(models["frame"], timeline=timeline, lead_ms=600)
    rig.play(60)
    rig.command("bank/save", str(tmp_path / "one"))
    rig.play(20)
    line = next(one for bar in range(6, 10) if (one := timeline.bar_line_at(bar)) % 1 > 0.5)
    rig.command("bank/recall", str(tmp_path / "one"), frame=round(line))
    rig.inbox.messages[-1]["sample"] = round(line * HOP)
    rig.play(round(line) + 30 - int(rig.reader_frame), step=2)
    rig.command("gen/undo", 2, frame=timeline.next_bar_start_at_or_after(round(line) + 40))
    rig.play(60, step=2)
    assert rig.player.splice.stream_frame == round(line)
    score = rig.stage.engine.session.stream.score
    assert score.target_at("context_bars", rig.player.stream_end) == 0


def test_a_damaged_bank_fails_and_the_music_goes_on(rig: Rig, tmp_path: Path) -> None:
    rig.play(60)
    path = tmp_path / "bank.safetensors"
    rig.command("bank/save", str(path))
    rig.fill()
    whole = path.read_bytes()
    identities = []
    for damaged in (whole[:-50], whole[:200], b"", whole.replace(b"take 1", b"take 9")):
        path.write_bytes(damaged)
        identities.append(rig.command("bank/load", str(path)))
        rig.loop.turn()
    rig.play(40)
    assert all(rig.answer(identity)["type"] == "failed" for identity in identities)
    assert not np.isnan(rig.heard).any()
    assert rig.of_kind("error") == []


def test_a_file_is_continued(rig: Rig, model: MusicGen, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.1, 2 * 32000).astype(np.float32)
    soundfile.write(tmp_path / "riff.wav", samples, 32000, subtype="FLOAT")
    rig.play(60)
    identity = rig.command("gen/continue", str(tmp_path / "riff.wav"))
    rig.play(100)
    frame = rig.applied_at(identity)
    # By hand: the last 1.2 s of context and the four frames that are dropped again.
    engine = Engine(model, OPTIONS)
    engine.continue_from(samples[None, -(60 + 4) * HOP :], 32000)
    engine.set_parameter("seed", 7, at_frame=60)
    engine.set_prompt("deep house", at_frame=60)
    engine.join_timeline(rig.timeline, frame, at_frame=60)
    audio_of(engine, 130)
    assert np.array_equal(rig.codes(0, 110), engine.codes(0, 110))
    assert not np.isnan(rig.heard).any()


def test_a_file_is_continued_under_the_controls_that_stand_by_then(
    rig: Rig, tmp_path: Path
) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, 2 * 32000).astype(np.float32)
    soundfile.write(tmp_path / "riff.wav", samples, 32000, subtype="FLOAT")
    rig.play(60)
    line = 8 * BAR
    continued = rig.command("gen/continue", str(tmp_path / "riff.wav"), frame=line)
    rig.play(40)
    rig.command("prompt/set", 0, "techno", 1.0, 0)
    rig.command("param/set", "cfg", 5.0)
    rig.play(120)
    assert rig.applied_at(continued) == line
    controls = rig.stage.controls()
    assert (controls["prompts"]["0"], controls["params"]["cfg"]) == ("techno", 5.0)
    assert rig.of_kind("state")[-1] == {"type": "state", **controls}


def test_a_reset_begins_anew_with_the_same_controls(rig: Rig, model: MusicGen) -> None:
    rig.play(60)
    rig.command("attr/set", "lead", "off")
    rig.play(20)
    identity = rig.command("transport/reset")
    rig.play(80)
    frame = rig.applied_at(identity)
    engine = Engine(model, OPTIONS)
    engine.set_parameter("seed", 7)
    engine.set_prompt("deep house")
    engine.set_attribute("lead", False)
    engine.join_timeline(rig.timeline, frame, at_frame=0)
    expected = audio_of(engine, 60)
    heard = rig.heard_samples(frame, frame + 50)
    fade = rig.player.writer.fade_samples
    assert np.abs(heard - expected[:, : 50 * HOP])[:, fade:].max() < 1e-6


def test_panic_drops_what_waits_and_begins_at_once(rig: Rig) -> None:
    rig.play(60)
    rig.command("param/set", "temperature", 3.0)
    rig.command("attr/set", "drums", "off")
    rig.command("melody/mode", "follow")
    rig.command("melody/note_on", 60, 90)
    rig.play(20)
    waiting = rig.command("gen/undo", 1, frame=400)
    ahead = rig.command("param/set", "cfg", 9.0, frame=300)
    identity = rig.command("gen/panic")
    rig.loop.turn()
    assert rig.applied_at(identity) <= rig.reader_frame + 6
    assert "dropped" in rig.answer(waiting)["reason"]
    assert rig.answer(ahead)["frame"] == 300, "it was answered when it was scheduled"
    assert rig.conductor.num_pending == 0
    rig.play(80)
    state = rig.of_kind("state")[-1]
    assert state["params"]["temperature"] == 1.0
    assert state["attributes"]["drums"] == "free"
    assert state["prompts"]["0"] == "deep house"
    assert state["melody"]["mode"] == "off"
    assert not np.isnan(rig.heard).any()


def test_panic_keeps_the_prompts(rig: Rig) -> None:
    rig.play(60)
    rig.command("prompt/set", 1, "jazz", 0.5)
    rig.command("prompt/weight", 0, 0.25, 50)  # still on its way when the panic comes
    rig.command("prompt/set", 2, "choir", 1.0)
    rig.command("prompt/clear", 2)
    rig.command("prompt/negative", "noise")
    rig.command("param/set", "cfg", 5.0)
    rig.play(20)
    before = rig.stage.controls()
    rig.command("gen/panic")
    rig.play(80)
    after = rig.of_kind("state")[-1]
    for kept in ("prompts", "weights", "negative"):
        assert after[kept] == before[kept]
    assert [after["prompts"][slot] for slot in "012"] == ["deep house", "jazz", None]
    assert [after["weights"][slot] for slot in "01"] == [0.25, 0.5]
    assert (after["negative"], after["params"]["cfg"]) == ("noise", 3.0)


def test_after_a_hole_it_goes_on_at_a_bar_line_from_its_own(rig: Rig, model: MusicGen) -> None:
    rig.play(60)
    rig.move(60)  # the engine was not there for 1.2 s; 0.6 were made
    rig.fill()
    rig.play(80)
    assert len(rig.of_kind("error")) == 1
    error = rig.of_kind("error")[0]
    assert error["where"] == "deficit"
    assert rig.faults.counts.deficits == 1
    frame = error["frame"]
    assert frame % BAR == 0
    assert np.isnan(rig.heard_samples(100, 120)).any()
    assert not np.isnan(rig.heard_samples(frame, frame + 60)).any()
    assert_heard(rig, frame, audio_of(planned(model), 180), 75, 60)


def test_a_respawned_worker_goes_on_where_the_last_bar_ended(
    model: MusicGen, tmp_path: Path
) -> None:
    first = Rig(model, lead_ms=600, resume_folder=tmp_path)
    first.play(90)
    first.command("attr/set", "drums", "off")
    first.play(13)
    kept = take.load(tmp_path / "resume.safetensors")
    bar = first.stage.newest_bar()
    assert bar == 125
    assert [path.name for path in tmp_path.iterdir()] == ["resume.safetensors"]
    assert np.array_equal(kept.codes, first.codes(bar - kept.frames, bar))
    state = (("attr/set", ["drums", "off"]), ("prompt/set", [0, "deep house", 1.0, 0]))
    heard = []
    for _ in range(2):
        second = Rig(
            model,
            lead_ms=600,
            resume_folder=tmp_path,
            is_resume=True,
            state=state,
            at_frame=230,
        )
        assert second.is_resumed
        second.play(60)
        frame = second.player.splice.session_frame
        assert frame % BAR == 0 and 232 <= frame <= 260
        assert second.player.splice.stream_frame == kept.frames
        assert np.array_equal(second.codes(0, kept.frames), kept.codes)
        heard.append(second.heard_samples(frame, frame + 25))
        take.save(kept, tmp_path / "resume.safetensors")
    assert np.abs(heard[0] - heard[1]).max() < 1e-6
    assert second.stage.controls()["attributes"]["drums"] == "off"


def test_without_a_file_a_respawned_worker_begins_anew(model: MusicGen, tmp_path: Path) -> None:
    rig = Rig(model, lead_ms=600, resume_folder=tmp_path, is_resume=True, at_frame=90)
    assert not rig.is_resumed
    rig.play(60)
    assert rig.player.splice.session_frame in (100, 125)
    (tmp_path / "resume.safetensors").write_bytes(b"nothing of the kind")
    rig = Rig(model, lead_ms=600, resume_folder=tmp_path, is_resume=True, at_frame=90)
    assert not rig.is_resumed
    assert rig.of_kind("error")[0]["where"] == "resume"
    rig.play(40)


def test_a_jump_between_tempi(rig: Rig, model: MusicGen) -> None:
    """Undo to before a new tempo: the music of then, under the host's tempo of now."""
    rig.play(60)
    host = Timeline.start(BPM).with_tempo(75, 400.0)  # a bar has 30 frames now
    rig.tell("timeline", timeline=host.to_json(), frame=75)
    rig.play(40)
    identity = rig.command("gen/undo", 3)
    rig.play(90)
    frame = rig.applied_at(identity)
    assert frame in host.bar_start_frames(100, 200)
    target = rig.player.splice.stream_frame
    timeline = rig.stage.engine.timeline
    assert timeline is not None
    for at in range(target, target + 60):
        assert timeline.clock_at(at).bpm == 400.0
        assert timeline.clock_at(at).bar_phase == pytest.approx(
            host.clock_at(at - target + frame).bar_phase, abs=1e-12
        )
    assert not np.isnan(rig.heard).any()


def test_what_a_take_gives_is_not_gone_back_into(model: MusicGen, tmp_path: Path) -> None:
    """Its frames are what they are: a change that would reach into them begins after them."""
    first = Rig(model, lead_ms=600, resume_folder=tmp_path)
    first.play(103)
    second = Rig(model, lead_ms=600, resume_folder=tmp_path, is_resume=True, at_frame=230)
    second.fill()
    player = second.player
    given = player.engine.earliest_return
    assert given == player.splice.stream_frame < player.engine.next_frame
    player.go_back(player.splice.session_frame - 5)
    assert player.engine.next_frame == given
    second.play(60)
    assert second.of_kind("error") == []
    begins = player.splice.session_frame
    assert not np.isnan(second.heard_samples(begins, begins + 40)).any()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("earliest", "bars", "most"), [(0, 9, 8), (130, 3, 2), (151, 4, 1), (200, 1, 0), (201, 4, 0)]
)
def test_a_refused_undo_says_how_far_one_can_go_back(earliest: int, bars: int, most: int) -> None:
    """A bar has 25 frames and 200 are made; right after a jump the last may not be reachable."""
    engine = SimpleNamespace(timeline=Timeline.start(BPM), earliest_return=earliest)
    player = SimpleNamespace(engine=engine, stream_frame_of=lambda frame: frame)
    with pytest.raises(HistoryError, match=f"{bars} bars back is too far: {most} bars"):
        jumps.bars_back(cast(Player, player), bars, 200)


@pytest.mark.parametrize("taking_seconds", [0.2, 0.4])
def test_a_jump_that_takes_long_takes_a_bar_line_that_it_can_reach(
    taking_seconds: float, model: MusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in the bar it is asked for: what is written must last until it has begun."""
    begin = Engine.begin
    rig = Rig(model, lead_ms=200)

    def slow(engine: Engine, session: object) -> None:
        begin(engine, session)  # type: ignore[arg-type]
        rig.pass_time(taking_seconds)

    monkeypatch.setattr(Engine, "begin", slow)
    rig.play(2 * BAR)
    rig.command("bank/save", str(tmp_path / "one"))
    rig.live(8)
    rig.command("bank/load", str(tmp_path / "one"))  # here it learns
    rig.live(4 * BAR)
    assert rig.player.pace.jump_seconds["bank/load"] == pytest.approx(taking_seconds, abs=0.1)
    rig.heard[:] = 0.0
    for phase in range(0, BAR, 3):
        rig.live(2 * BAR - int(rig.reader_frame) % BAR + phase)
        identity = rig.command("bank/load", str(tmp_path / "one"))
        rig.live(3 * BAR)
        frame = rig.applied_at(identity)
        assert frame % BAR == 0
        assert not np.isnan(rig.heard).any(), f"asked for {phase} frames into the bar"
