"""A section that is made already, one lead before it is heard, and is to come otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.memory import Memory
from musicgen_rt.model.musicgen import MusicGen
from tests.live.test_worker_song import SONG, begun, score_at, sections
from tests.live.worker_rig import BAR, HOP, OPTIONS, Rig

OTHER = 'bpm = 480\n[[section]]\nname = "X"\nbars = 4\nprompt = "pop"\n'


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    return Rig(models["frame"])


def written(folder: Path, text: str = SONG) -> str:
    path = folder / "song.toml"
    path.write_text(text)
    return str(path)


def play_until_b(rig: Rig) -> None:
    """B is made, and is heard in two bars."""
    while not any(name == "B" for name, _ in sections(rig)):
        rig.play(4)


def at_next(rig: Rig, key: str) -> Any:
    engine = rig.stage.engine
    return engine.session.stream.score.target_at(key, engine.next_frame)


def loud(rig: Rig, session_frame: int) -> set[str]:
    """The prompts that weigh something, or are going to."""
    return {
        score_at(rig, f"prompt/{slot}", session_frame)
        for slot in range(8)
        if score_at(rig, f"weight/{slot}", session_frame)
    }


def test_a_song_that_is_begun_twice_on_one_bar_begins_as_though_once(
    rig: Rig, tmp_path: Path
) -> None:
    rig.command("song/load", written(tmp_path))
    rig.command("song/play", frame=4 * BAR)
    rig.command("song/play", frame=4 * BAR)
    rig.play(6 * BAR)
    assert sections(rig) == [("A", 4 * BAR)]
    assert loud(rig, 4 * BAR) == {"house, 480 bpm"}


def test_a_section_that_is_called_on_the_line_where_it_is_made_has_all_that_is_its_own(
    rig: Rig, tmp_path: Path
) -> None:
    first = begun(rig, written(tmp_path))
    play_until_b(rig)
    rig.command("song/section", "B", frame=first + 4 * BAR)
    rig.play(3 * BAR)
    assert sections(rig) == [("A", first), ("B", first + 4 * BAR)]
    assert loud(rig, first + 4 * BAR) == {"rock, 480 bpm"}
    assert score_at(rig, "melody", first + 4 * BAR) is not None


def test_a_section_in_place_of_one_with_a_tune_plays_without_it(rig: Rig, tmp_path: Path) -> None:
    first = begun(rig, written(tmp_path))
    play_until_b(rig)
    rig.command("song/section", "A", frame=first + 4 * BAR)
    rig.play(3 * BAR)
    assert sections(rig)[-1] == ("A", first + 4 * BAR)
    assert rig.stage.melody.at(rig.stage.engine.next_frame).mode == "off"
    assert at_next(rig, "temperature") == 1.0


def test_a_prompt_that_comes_in_just_before_a_section_fades_out_into_it(
    rig: Rig, tmp_path: Path
) -> None:
    """The section is made already: it begins again, from what stands there now."""
    first = begun(rig, written(tmp_path))
    play_until_b(rig)
    came = rig.command("prompt/set", 5, "choir", 5.0, 0)
    rig.play(3 * BAR)
    line = first + 4 * BAR
    assert rig.applied_at(came) < line
    assert sections(rig) == [("A", first), ("B", line)]
    score = rig.stage.engine.session.stream.score
    weights = [score.at("weight/5", line + frames) for frames in (-1, BAR, 2 * BAR)]
    assert weights == pytest.approx([5.0, 2.5, 0.0], abs=0.1)
    assert loud(rig, line) == {"rock, 480 bpm"}
    assert not np.isnan(rig.heard).any()


@pytest.mark.parametrize("is_made", [False, True])
def test_what_is_asked_for_at_a_section_s_bar_is_heard_in_it(
    rig: Rig, tmp_path: Path, is_made: bool
) -> None:
    """Whenever it was sent, and whatever else is changed before that bar."""
    first = begun(rig, written(tmp_path))
    line = first + 4 * BAR
    if is_made:
        play_until_b(rig)
    rig.command("param/set", "temperature", 0.9, frame=line)
    rig.command("prompt/weight", 5, 0.0, frame=line + 3)
    if not is_made:
        play_until_b(rig)
    rig.play(4)
    rig.command("prompt/set", 5, "choir", 5.0, 0)
    rig.play(3 * BAR)
    assert sections(rig) == [("A", first), ("B", line)]
    assert score_at(rig, "temperature", line) == 0.9
    assert score_at(rig, "weight/5", line - 1) == 5.0
    score = rig.stage.engine.session.stream.score
    assert score.at("weight/5", line + 3) == 0.0, "not the section's own fade"
    assert loud(rig, line + 3) == {"rock, 480 bpm"}


@pytest.mark.parametrize("first_bar", [1, 2, 3, 4])
def test_a_line_between_two_frames_is_the_same_one_for_a_section_and_for_what_is_asked_there(
    models: dict[str, MusicGen], tmp_path: Path, first_bar: int
) -> None:
    """Bars of 24.39 frames, so the lines lie anywhere in a frame."""
    timeline = Timeline.start(492.0)
    rig = Rig(models["frame"], timeline=timeline)
    rig.command("song/load", written(tmp_path, SONG.replace("480", "492")))
    lines = [round(timeline.bar_line_at(first_bar + bars) * HOP) for bars in (0, 4, 8)]
    commands: list[tuple[str, list[Any]]] = [
        ("song/play", []),
        ("param/set", ["temperature", 0.9]),
        ("attr/set", ["drums", "off"]),
    ]
    asked = []
    for (name, args), sample in zip(commands, lines, strict=True):
        asked.append(rig.command(name, *args, frame=round(sample / HOP)))
        rig.inbox.messages[-1]["sample"] = sample
    rig.play(14 * BAR)
    near = [round(sample / HOP) for sample in lines]
    assert sections(rig)[:3] == list(zip(("A", "B", "A2"), near, strict=True))
    assert [rig.applied_at(identity) for identity in asked[1:]] == near[1:]
    assert score_at(rig, "temperature", near[1] + 1) == 0.9
    assert score_at(rig, "attribute/drums", near[2] + 1) is False


def test_a_recall_twice_on_one_bar_leaves_the_context_as_it_was(rig: Rig, tmp_path: Path) -> None:
    first = begun(rig, written(tmp_path))
    rig.play(2 * BAR)
    for _ in range(2):
        rig.command("song/section", "A2", frame=first + 4 * BAR)
    rig.play(3 * BAR)
    assert isinstance(at_next(rig, "memory"), Memory)
    assert at_next(rig, "context_bars") == 0


def test_a_section_of_a_song_that_was_replaced_since_fails(rig: Rig, tmp_path: Path) -> None:
    begun(rig, written(tmp_path))
    rig.play(BAR)
    rig.command("song/section", "A2", frame=6 * BAR)
    rig.fill()
    rig.command("song/load", written(tmp_path, OTHER))
    rig.play(6 * BAR)
    assert any("the song has X" in str(one) for one in rig.messages)
    assert not np.isnan(rig.heard).any()


def test_undo_into_a_section_whose_opening_is_forgotten(
    models: dict[str, MusicGen], tmp_path: Path
) -> None:
    rig = Rig(models["frame"], options=replace(OPTIONS, history_seconds=10.0))
    rig.command("song/load", written(tmp_path, SONG.replace("bars = 4", "bars = 60", 1)))
    rig.command("song/play", frame=BAR)
    rig.play(61 * BAR)
    rig.command("gen/undo", 6)
    rig.play(2 * BAR)
    assert [name for name, _ in sections(rig)] == ["A", "B", "A"]
    assert not rig.of_kind("error")


def test_another_song_forgets_what_the_one_before_remembered(rig: Rig, tmp_path: Path) -> None:
    begun(rig, written(tmp_path))
    rig.play(9 * BAR)
    assert isinstance(at_next(rig, "memory"), Memory)
    rig.command("song/load", written(tmp_path, OTHER))
    rig.play(BAR)
    assert at_next(rig, "memory") is None
    name, frame = sections(rig)[-1]
    assert name is None and frame > 9 * BAR


def test_retry_in_the_last_bars_before_a_section_keeps_its_distance(
    rig: Rig, tmp_path: Path
) -> None:
    first = begun(rig, written(tmp_path))
    play_until_b(rig)
    retry = rig.command("gen/retry", 2)
    rig.play(5 * BAR)
    at, splice = rig.applied_at(retry), rig.player.splice
    again = at + first + 4 * BAR - splice.stream_frame
    assert sections(rig)[-2:] == [("A", at), ("B", again)]
    assert score_at(rig, "temperature", again - 1) == 1.0
    assert score_at(rig, "temperature", again) == 0.5
    assert score_at(rig, "melody", again) is not None


def test_a_section_follows_the_bars_of_another_tempo(rig: Rig, tmp_path: Path) -> None:
    begun(rig, written(tmp_path))
    play_until_b(rig)
    at = int(rig.reader_frame) + 6
    timeline: Timeline = rig.timeline.with_tempo(at, 300)
    rig.tell("timeline", timeline=timeline.to_json(), frame=at)
    rig.play(3 * BAR)
    line = timeline.bar_start_frame(5)
    assert line != 5 * BAR
    assert sections(rig) == [("A", BAR), ("B", 5 * BAR), ("B", line)]


def test_another_model_does_not_remember_what_this_one_played(
    models: dict[str, MusicGen], rig: Rig, tmp_path: Path
) -> None:
    begun(rig, written(tmp_path))
    rig.play(4 * BAR)
    rig.stage.change_over(Engine(models["text"], OPTIONS), rig.player.free_bar())
    rig.play(2 * BAR)
    play = rig.command("song/play")
    rig.fill()
    assert "no song is loaded" in rig.answer(play)["reason"], "it has no attributes"


def test_what_is_recalled_in_another_stream_counts_there(rig: Rig, tmp_path: Path) -> None:
    rig.command("song/load", written(tmp_path))
    rig.command("song/play", frame=12 * BAR)
    rig.play(14 * BAR)
    rig.command("transport/reset")
    rig.play(2 * BAR)
    line = rig.player.timeline.next_bar_start_at_or_after(int(rig.reader_frame) + 3 * BAR)
    rig.command("song/section", "A2", frame=line)
    rig.play(3 * BAR)
    at = rig.player.stream_frame_of(line)
    windows = rig.stage.engine.session.stream.windows
    assert next(one for one in windows if one.since >= at).memory_frames == BAR


def test_a_loop_before_a_section_puts_it_off(rig: Rig, tmp_path: Path) -> None:
    song = SONG.replace('name = "B"', 'name = "B"\nbpm = 400')
    begun(rig, written(tmp_path, song))
    play_until_b(rig)
    loop = rig.command("gen/freeze", 1, 1)
    rig.play(4 * BAR)
    told = rig.of_kind("song")[-1]
    assert (told["section"], told["frame"]) == ("A", rig.applied_at(loop))
    assert told["bpm"] == 480, "the tempo of what was to come is taken back"
    release = rig.command("gen/freeze", 0, 1)
    rig.play(4 * BAR)
    left = 5 * BAR - rig.player.splice.stream_frame
    assert left > 0
    assert sections(rig)[-1] == ("B", rig.applied_at(release) + left)
    assert not np.isnan(rig.heard).any()


def test_the_tempo_is_told_again_where_a_section_comes_sooner(rig: Rig, tmp_path: Path) -> None:
    song = SONG.replace('name = "B"', 'name = "B"\nbpm = 400')
    begun(rig, written(tmp_path, song.replace('name = "A2"', 'name = "A2"\nbpm = 400')))
    play_until_b(rig)
    rig.command("song/section", "A2", frame=4 * BAR)
    rig.play(2 * BAR)
    last = rig.of_kind("song")[-1]
    assert (last["section"], last["frame"], last["bpm"]) == ("A2", 4 * BAR, 400)


def test_a_song_file_that_is_nested_too_deeply_is_refused(rig: Rig, tmp_path: Path) -> None:
    load = rig.command("song/load", written(tmp_path, "a = " + "[" * 3000 + "]" * 3000))
    rig.fill()
    assert "is not TOML" in rig.answer(load)["reason"]


def test_bars_may_be_written_with_a_point(rig: Rig, tmp_path: Path) -> None:
    first = begun(rig, written(tmp_path, SONG.replace("bars = 4\n", "bars = 4.0\n")))
    rig.play(4 * BAR)
    assert sections(rig) == [("A", first), ("B", first + 4 * BAR)]
    assert all(isinstance(one["bars"], int) for one in rig.of_kind("song"))


def test_retry_across_the_beginning_of_a_recall_recalls_again(rig: Rig, tmp_path: Path) -> None:
    song = SONG.replace("bars = 4\nrecall", "bars = 12\nrecall")
    rig.command("song/load", written(tmp_path, song))
    rig.command("song/play", frame=BAR)
    rig.play(9 * BAR + 5)
    rig.command("gen/retry", 4)
    rig.play(4 * BAR)
    assert sections(rig)[-1] == ("A2", rig.player.splice.session_frame)
    assert isinstance(at_next(rig, "memory"), Memory)
    last = rig.stage.engine.session.stream.windows[-1]
    assert last.memory_frames == BAR and at_next(rig, "context_bars") == 0


def test_a_section_that_is_all_opening_is_remembered(rig: Rig, tmp_path: Path) -> None:
    song = SONG.replace("bars = 4", "bars = 1", 1)
    rig.command("song/load", written(tmp_path, song))
    rig.command("song/play", frame=BAR)
    rig.play(7 * BAR)
    assert sections(rig)[-1] == ("A2", 6 * BAR)
    memory = score_at(rig, "memory", 6 * BAR)
    assert np.array_equal(memory.codes, rig.codes(BAR, 2 * BAR))


@pytest.mark.parametrize("first_bar", [1, 2, 3, 4])
def test_it_is_remembered_wherever_in_a_frame_its_end_lies(
    models: dict[str, MusicGen], tmp_path: Path, first_bar: int
) -> None:
    timeline = Timeline.start(492.0)
    rig = Rig(models["frame"], timeline=timeline)
    song = SONG.replace("480", "492").replace("bars = 4", "bars = 1", 1)
    rig.command("song/load", written(tmp_path, song))
    rig.command("song/play", frame=timeline.bar_start_frame(first_bar))
    rig.play(11 * BAR)
    line = timeline.bar_start_frame(first_bar + 5)
    assert ("A2", line) in sections(rig)
    memory = score_at(rig, "memory", line)
    first = timeline.bar_start_frame(first_bar)
    assert np.array_equal(memory.codes, rig.codes(first, first + memory.codes.shape[1]))
    assert memory.codes.shape[1] in (24, 25), "a bar has 24.39 frames"


def test_what_is_remembered_is_what_was_heard(rig: Rig, tmp_path: Path) -> None:
    rig.command("song/load", written(tmp_path))
    rig.command("song/play", frame=4 * BAR)
    while not rig.stage.song._memories:
        rig.play(2, step=2)
    # The opening is made, and changes before it is heard.
    before = rig.stage.song._memories["A"].codes
    rig.command("prompt/set", 2, "choir", 5.0, 0)
    rig.play(5 * BAR)
    heard = rig.codes(4 * BAR, 5 * BAR)
    assert not np.array_equal(before, heard)
    assert np.array_equal(rig.stage.song._memories["A"].codes, heard)
