"""The last bars in a loop: repeated sample for sample, on the grid, and without a click."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live import take
from musicgen_rt.live.frozen_loop import FrozenLoop, LoopPlace
from musicgen_rt.model.musicgen import MusicGen
from tests.live.test_worker_jumps import assert_heard
from tests.live.test_worker_player import audio_of, count_rollbacks, planned
from tests.live.worker_rig import BAR, HOP, Rig

FADE = 320
# Of the music that is repeated, in samples.
LENGTH = 16_000


@pytest.fixture
def model(models: dict[str, MusicGen]) -> MusicGen:
    return models["frame"]


@pytest.fixture
def rig(model: MusicGen) -> Rig:
    return Rig(model, lead_ms=600)


@pytest.mark.parametrize(
    "length", [*(LENGTH + n for n in (-6000, -3, 0, 1, 5, FADE - 1, FADE, 3000)), 2 * LENGTH + 7]
)
def test_a_loop_has_no_seam_whatever_a_bar_s_length_is(length: int) -> None:
    """The music is a ramp, which a jump would break; before its beginning it comes up from 0."""
    bpm = 4 * 60 * 32000 / length
    timeline = Timeline.start(bpm, frame_rate_hz=50.0)
    body = np.linspace(0.0, 1.0, LENGTH, dtype=np.float32)[None]
    lead_in = np.zeros((1, FADE), np.float32)
    loop = FrozenLoop(body, lead_in, timeline, LoopPlace(timeline, 0, 1, HOP))
    # In odd pieces, as the loop is copied on.
    heard = np.concatenate([loop.samples(at, 777) for at in range(0, 777 * 130, 777)], axis=1)[0]
    assert np.abs(np.diff(heard)).max() < 2.5 / FADE
    starts = range(0, len(heard) - length, length)
    assert len(starts) >= 2
    for start in starts:
        whole = min(length, LENGTH) - FADE
        assert np.array_equal(heard[start : start + whole], body[0, :whole]), "it begins on the bar"


def test_a_new_tempo_moves_what_of_a_loop_is_copied_ahead(model: MusicGen) -> None:
    rig = Rig(model, lead_ms=2000)  # much is copied ahead
    rig.play(90)
    identity = rig.command("gen/freeze", 1, 1)
    rig.play(60)
    start = rig.applied_at(identity)
    body = rig.heard_samples(start - BAR, start)
    changed_at = int(rig.reader_frame) + 8
    slower = rig.timeline.with_tempo(changed_at, 300.0)  # a bar has 40 frames now
    rig.tell("timeline", timeline=slower.to_json(), frame=changed_at)
    rig.play(200)
    lines = [round(line * HOP) for line in slower.bar_start_frames(changed_at, changed_at + 180)]
    assert len(lines) >= 4
    for line in lines:
        heard = rig.heard[:, line : line + BAR * HOP - FADE]
        assert np.array_equal(heard, body[:, : BAR * HOP - FADE])
    assert not np.isnan(rig.heard).any()


def test_a_frozen_loop_repeats_sample_for_sample_and_then_goes_on(
    rig: Rig, model: MusicGen
) -> None:
    rig.play(90)
    rollbacks = count_rollbacks(rig)
    identity = rig.command("gen/freeze", 1, 2)
    rig.play(160)
    start = rig.applied_at(identity)
    assert start % BAR == 0
    body = rig.heard_samples(start - 2 * BAR, start)
    seam = rig.player.writer.fade_samples
    for repetition in range(2):
        first = start + repetition * 2 * BAR
        again = rig.heard_samples(first, first + 2 * BAR)
        assert np.array_equal(again[:, :-seam], body[:, :-seam])
    assert rig.of_kind("state")[-1]["frozen"] is True
    identity = rig.command("gen/freeze", 0, 2)
    rig.play(80)
    end = rig.applied_at(identity)
    assert end % BAR == 0
    assert_heard(rig, end, audio_of(planned(model), 180), start, 50)
    assert rollbacks == [], "what followed the loop had been made already"
    assert not np.isnan(rig.heard).any()
    assert rig.of_kind("state")[-1]["frozen"] is False


def test_a_loop_stays_on_the_grid_of_a_tempo_that_divides_nothing(model: MusicGen) -> None:
    """A bar of 24.39 frames: after 12 repetitions the loop is where the bars are, to a sample."""
    timeline = Timeline.start(492.0)
    rig = Rig(model, timeline=timeline, lead_ms=600)
    rig.play(80)
    identity = rig.command("gen/freeze", 1, 1)
    rig.play(340, step=10)
    start = rig.applied_at(identity)
    bar = timeline.bar_at(start)
    lines = [round(timeline.bar_line_at(bar + n) * HOP) for n in range(-1, 13)]
    heard = rig.heard[0]
    body = heard[lines[0] : lines[1]]
    for first, end in itertools.pairwise(lines):
        n = end - first - rig.player.writer.fade_samples
        assert np.array_equal(heard[first : first + n], body[:n])


def test_controls_during_a_loop_are_heard_after_it(rig: Rig, model: MusicGen) -> None:
    rig.play(90)
    start = rig.command("gen/freeze", 1, 1)
    rig.play(40)
    rig.command("attr/set", "drums", "off")
    rig.play(20)
    end = rig.command("gen/freeze", 0, 1)
    rig.play(80)
    engine = planned(model)
    engine.set_attribute("drums", False, at_frame=rig.applied_at(start))
    assert_heard(rig, rig.applied_at(end), audio_of(engine, 180), rig.applied_at(start), 45)


def test_a_bank_that_is_saved_during_a_loop_goes_on_after_it(
    rig: Rig, model: MusicGen, tmp_path: Path
) -> None:
    """With what was changed meanwhile; and the loop's own end is as though nothing was saved."""
    rig.play(90)
    frozen = rig.command("gen/freeze", 1, 1)
    rig.play(40)
    rig.command("attr/set", "drums", "off")
    rig.play(20)
    path = tmp_path / "bank.safetensors"
    saved = rig.command("bank/save", str(path))
    rig.play(20)
    assert rig.answer(saved)["type"] == "applied", rig.answer(saved)
    start = rig.applied_at(frozen)
    released = rig.command("gen/freeze", 0, 1)
    rig.play(80)
    engine = planned(model)
    engine.set_attribute("drums", False, at_frame=start)
    expected = audio_of(engine, 180)
    assert_heard(rig, rig.applied_at(released), expected, start, 45)
    kept = take.load(path)
    assert np.array_equal(kept.codes, engine.codes(start - kept.frames, start))
    rig.command("attr/set", "drums", "free")
    rig.command("bank/load", str(path))
    rig.play(60)
    assert rig.player.splice.stream_frame == kept.frames
    assert rig.stage.controls()["attributes"]["drums"] == "off"
    assert not np.isnan(rig.heard).any()


def test_freezing_what_is_not_there_fails(rig: Rig) -> None:
    rig.play(30)
    identity = rig.command("gen/freeze", 1, 60)
    released = rig.command("gen/freeze", 0, 1)
    rig.play(60)
    assert "not whole" in rig.answer(identity)["reason"]
    assert "no loop" in rig.answer(released)["reason"]
    assert not np.isnan(rig.heard).any()


@pytest.mark.parametrize("way_out", [("gen/freeze", 0, 1), ("gen/undo", 1)])
def test_a_loop_is_left_without_a_hole_whose_end_lies_within_a_frame(
    way_out: tuple[str, int], model: MusicGen
) -> None:
    """Its lines are taken to the sample and what follows begins with a frame."""
    rig = Rig(model, timeline=Timeline.start(492.0), lead_ms=300)
    rig.play(80)
    for phase in range(0, 24, 2):
        rig.command("gen/freeze", 1, 1)
        rig.play(60 + phase, step=2)
        assert rig.stage.controls()["frozen"]
        rig.command(*way_out)
        rig.play(70, step=2)
        assert not rig.stage.controls()["frozen"]
        assert not np.isnan(rig.heard).any(), f"left {phase} frames later"
