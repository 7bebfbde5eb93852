"""Infill while it plays: bars of what was heard, or of what comes, made anew between the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import HOP, Rig
from tests.support.audiocraft import convert_recorded

# The window of the recorded model is a second, 50 frames, of which a roll keeps 20.
OPTIONS = EngineOptions(text_capacity=64, history_seconds=8.0)
# A bar of 12.5 frames: every second bar line lies between two frames.
TIMELINE = Timeline.start(480.0, 2)
# What of a bar's sound the bars beside it reach into: filters, and the crossfade of a splice.
EDGE_FRAMES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    folder = convert_recorded(tmp_path_factory.mktemp("magnet"), "magnet")
    model = MusicGen.load(str(folder), device="cpu", weights="fp32")
    magnet = model.config.magnet
    assert magnet is not None
    fast = replace(magnet, decoding_steps=(3, 2, 2, 2))
    return replace(model, config=replace(model.config, magnet=fast))


@pytest.fixture
def rig(model: MusicGen) -> Rig:
    return Rig(model, options=OPTIONS, timeline=TIMELINE)


def line(bar: int) -> int:
    """The session's frame of a bar line."""
    return TIMELINE.bar_start_frame(bar)


def infilled(rig: Rig, *args: int, frame: int | None = None) -> int:
    """Send an infill and play until it has been heard; the frame that its answer names."""
    identity = rig.command("gen/infill", *args, frame=frame)
    rig.play(150)
    assert not np.isnan(rig.heard).any()
    return rig.applied_at(identity)


def is_same_sound(rig: Rig, first_frame: int, other_first_frame: int, frames: int) -> bool:
    """Whether two stretches sound alike, but for their edges."""
    one, other = (
        rig.heard_samples(first + EDGE_FRAMES, first + frames - EDGE_FRAMES)
        for first in (first_frame, other_first_frame)
    )
    assert one.shape[1] > HOP
    return bool(np.allclose(one, other, atol=1e-4))


def test_two_of_the_last_eight_bars_are_heard_anew_between_the_others(rig: Rig) -> None:
    rig.play(110)
    before = rig.codes(0, 125)
    heard_at = infilled(rig, 3, 4, 8)
    again = rig.player.splice.session_frame
    assert again == line(10), "the first that could be reached"
    assert heard_at == again + 25, "two bars after the line"
    assert is_same_sound(rig, again, again - 100, 25)
    assert not is_same_sound(rig, again + 25, again - 75, 25)
    # The codec's memory reaches from the new bars into the old: these are compared as codes.
    after = rig.codes(0, 125)
    assert rig.player.splice.stream_frame == 25
    assert not np.array_equal(after[:, 50:75], before[:, 50:75])
    assert np.array_equal(after[:, 75:], before[:, 75:])


def test_bars_that_are_to_come_are_made_anew_and_what_follows_stays(
    rig: Rig, model: MusicGen
) -> None:
    rig.play(60)
    heard_at = infilled(rig, 2, 2, 0, frame=line(8))
    assert heard_at == line(9)
    other = Rig(model, options=OPTIONS, timeline=TIMELINE)
    other.play(210)
    codes, plain = rig.codes(0, 130), other.codes(0, 130)
    assert np.array_equal(codes[:, : line(9)], plain[:, : line(9)])
    assert not np.array_equal(codes[:, line(9) : line(10)], plain[:, line(9) : line(10)])
    # The block that the hole's end lay in had been made: it is kept to its end.
    assert np.array_equal(codes[:, line(10) : line(11)], plain[:, line(10) : line(11)])


def test_the_new_bars_are_under_the_controls_of_now(rig: Rig) -> None:
    rig.play(110)
    rig.command("prompt/set", 0, "thunder", 1.0, 0)
    infilled(rig, 2, 3, 4)
    score, stream_frame = rig.stage.engine.session.stream.score, rig.player.splice.stream_frame
    assert score.at("prompt/0", stream_frame) == "deep house"
    assert score.at("prompt/0", stream_frame + 13) == "thunder"


def test_after_a_change_of_tempo_the_other_bars_are_still_the_same(rig: Rig) -> None:
    rig.play(110)
    timeline = TIMELINE.with_tempo(rig.player.next_frame, 484.0)
    rig.tell("timeline", timeline=timeline.to_json(), frame=rig.player.next_frame)
    rig.tell("lead", lead_ms=1000, lock=False)
    rig.fill()
    before = rig.codes(0, 100)
    infilled(rig, 3, 3, 4)
    target = rig.player.splice.stream_frame
    after = rig.codes(target, target + 50)
    kept = slice(0, min(25, 100 - target))
    assert np.array_equal(after[:, kept], before[:, target : target + kept.stop])


def test_a_frozen_loop_is_let_go_with_a_bar_of_it_made_anew(rig: Rig) -> None:
    rig.play(110)
    frozen = rig.command("gen/freeze", 1, 4)
    rig.play(80)
    first = rig.applied_at(frozen)
    infilled(rig, 2, 2, 4)
    assert rig.player.frozen is None
    again = rig.player.splice.session_frame
    assert is_same_sound(rig, again, first - 50, 12)
    assert not is_same_sound(rig, again + 13, first - 37, 12)


def test_it_can_be_undone(rig: Rig) -> None:
    rig.play(110)
    infilled(rig, 3, 4, 8)
    identity = rig.command("gen/undo", 2)
    rig.play(60)
    assert rig.answer(identity)["type"] == "applied"
    assert not np.isnan(rig.heard).any()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((3, 4, 40), "bars back is too far"),
        ((20, 21, 0), "what is remembered and a window ahead"),
        ((4, 3, 8), "first is 4: expected 1 to 3"),
        ((3, 9, 8), "last is 9: expected 1 to 8"),
        ((0, 1, 8), "first is 0"),
    ],
)
def test_what_cannot_be_made_anew_fails_and_the_music_goes_on(
    rig: Rig, args: tuple[int, int, int], reason: str
) -> None:
    rig.play(60)
    identity = rig.command("gen/infill", *args)
    rig.play(60)
    assert rig.answer(identity)["type"] == "failed"
    assert reason in rig.answer(identity)["reason"]
    assert not np.isnan(rig.heard).any()


def test_a_model_that_only_looks_back_says_so(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["frame"])
    rig.play(50)
    identity = rig.command("gen/infill", 1, 1, 1)
    rig.fill()
    assert "load a MAGNeT" in rig.answer(identity)["reason"]


def test_an_infill_before_a_section_leaves_it_where_it_is(rig: Rig, tmp_path: Path) -> None:
    text = "bpm = 480\nbeats_per_bar = 2\n" + "".join(
        f'[[section]]\nname = "{name}"\nbars = 8\nprompt = "{prompt}"\n{more}'
        for name, prompt, more in (
            ("A", "house", ""),
            ("B", "rock", "parameters = { temperature = 0.5 }\n"),
        )
    )
    path = tmp_path / "song.toml"
    path.write_text(text)
    rig.command("song/load", str(path))
    rig.command("song/play", frame=line(4))
    while len(rig.of_kind("song")) < 2:
        rig.play(4)
    begins = rig.stage.song._begun[-1].frame
    rig.command("gen/infill", 3, 4, 4)
    rig.play(100)
    score = rig.stage.engine.session.stream.score
    temperatures = [score.at("temperature", begins + frames) for frames in (-1, 0)]
    assert temperatures[0] != 0.5 and temperatures[1] == 0.5
    assert [one["section"] for one in rig.of_kind("song")] == ["A", "B", "A", "B"]
