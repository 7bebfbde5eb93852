"""A song that is played live: its sections on the bar, what they recall, and going back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_rt.live.memory import Memory
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, Rig

SONG = """
bpm = 480
[[section]]
name = "A"
bars = 4
prompt = "house"
attributes = { drums = true }
[[section]]
name = "B"
bars = 4
prompt = "rock"
transition_bars = 2
parameters = { temperature = 0.5 }
melody = { beats = 4, notes = [[0, 2, 60], [2, 2, 64]] }
[[section]]
name = "A2"
bars = 4
recall = "A"
memory_bars = 1
"""

LONG_MEMORY = SONG.replace("memory_bars = 1", "memory_bars = 8").replace("bars = 4", "bars = 9", 1)


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    return Rig(models["frame"])


@pytest.fixture
def song(tmp_path: Path) -> str:
    path = tmp_path / "song.toml"
    path.write_text(SONG)
    return str(path)


def begun(rig: Rig, song: str, *command: str) -> int:
    """The song is loaded and played from the second bar line on; its first frame."""
    load = rig.command("song/load", song)
    play = rig.command(*(command or ("song/play",)), frame=BAR)
    rig.fill()
    assert rig.answer(load)["sections"] == 3 and rig.answer(load)["bars"] == 12
    assert rig.applied_at(play) == BAR
    return BAR


def score_at(rig: Rig, key: str, session_frame: int) -> Any:
    score = rig.stage.engine.session.stream.score
    return score.target_at(key, rig.player.stream_frame_of(session_frame))


def sections(rig: Rig) -> list[tuple[Any, int]]:
    """The sections that were told, each with its frame."""
    return [(one["section"], one["frame"]) for one in rig.of_kind("song")]


def test_sections_follow_each_other_on_the_bar_with_all_that_they_say(rig: Rig, song: str) -> None:
    first = begun(rig, song)
    rig.play(14 * BAR)
    line = [first + bars * BAR for bars in (0, 4, 8, 12)]
    assert sections(rig) == [("A", line[0]), ("B", line[1]), ("A2", line[2]), (None, line[3])]
    prompts = {score_at(rig, f"prompt/{slot}", line[1]) for slot in range(8)}
    assert {"house, 480 bpm", "rock, 480 bpm"} <= prompts
    assert score_at(rig, "attribute/drums", line[0]) is True
    assert score_at(rig, "attribute/drums", line[1]) is None
    # A number that a section does not name is that of before the song.
    temperatures = [score_at(rig, "temperature", at) for at in line]
    assert temperatures == [1.0, 0.5, 1.0, 1.0]
    assert score_at(rig, "melody", line[1] - 1) is None
    placed = score_at(rig, "melody", line[1])
    assert {one["melody"]["file"] for one in rig.of_kind("state")} == {None}, "no name"
    assert [placed.pitch_class_at(placed.start_frame + at) for at in (3, 20)] == [0, 4]
    assert score_at(rig, "melody", line[2]) is None
    assert not np.isnan(rig.heard).any()


def test_a_fade_lasts_as_long_as_the_transition(rig: Rig, song: str) -> None:
    first = begun(rig, song)
    rig.play(10 * BAR)
    score, line = rig.stage.engine.session.stream.score, first + 4 * BAR
    new = next(slot for slot in range(8) if score.at(f"prompt/{slot}", line) == "rock, 480 bpm")
    weights = [score.at(f"weight/{new}", line + bars * BAR) for bars in (0, 1, 2)]
    assert weights == pytest.approx([0.0, 0.5, 1.0], abs=0.03)


def test_a_recall_remembers_the_opening_that_was_played(rig: Rig, song: str) -> None:
    first = begun(rig, song)
    rig.play(11 * BAR)
    line = first + 8 * BAR
    memory = score_at(rig, "memory", line)
    assert isinstance(memory, Memory)
    assert np.array_equal(memory.codes, rig.codes(first, first + BAR))
    assert score_at(rig, "memory", line - 1) is None
    windows = rig.stage.engine.session.stream.windows
    assert next(one for one in windows if one.since >= line).memory_frames == BAR
    rig.play(4 * BAR)
    assert score_at(rig, "memory", first + 12 * BAR) is None, "the song is over"


def test_undo_goes_back_to_the_section_of_then(rig: Rig, song: str) -> None:
    first = begun(rig, song)
    rig.play(6 * BAR + 10)
    assert sections(rig)[-1] == ("B", first + 4 * BAR)
    undo = rig.command("gen/undo", 3)
    rig.play(4 * BAR)
    at = rig.applied_at(undo)
    bars_into_a = (rig.player.splice.stream_frame - first) // BAR
    assert bars_into_a in (2, 3)
    again = at + (4 - bars_into_a) * BAR
    assert sections(rig)[2:4] == [("A", at), ("B", again)]
    assert score_at(rig, "temperature", again - 1) == 1.0
    assert score_at(rig, "temperature", again) == 0.5


def test_retry_in_a_section_plays_its_bars_again(rig: Rig, song: str) -> None:
    first = begun(rig, song)
    rig.play(5 * BAR + 10)
    retry = rig.command("gen/retry", 4)
    rig.play(6 * BAR)
    at = rig.applied_at(retry)
    assert sections(rig)[-2:] == [("B", at), ("A2", at + 4 * BAR)]
    assert rig.player.splice.stream_frame < first + 4 * BAR


def test_a_section_can_be_called_at_any_time_and_stopped(rig: Rig, song: str) -> None:
    first = begun(rig, song)
    rig.play(2 * BAR)
    called = rig.command("song/section", "A2", frame=first + 3 * BAR)
    rig.play(2 * BAR)
    assert rig.applied_at(called) == first + 3 * BAR
    assert isinstance(score_at(rig, "memory", first + 3 * BAR), Memory)
    stopped = rig.command("song/stop", frame=first + 5 * BAR)
    rig.play(6 * BAR)
    at = rig.applied_at(stopped)
    assert [name for name, _ in sections(rig)] == ["A", "A2", None]
    assert score_at(rig, "memory", at) is None
    assert score_at(rig, "prompt/0", at) is not None, "the music goes on as it is"


def test_a_section_that_is_called_before_the_next_one_is_heard_takes_its_place(
    rig: Rig, song: str
) -> None:
    first = begun(rig, song)
    while not any(name == "B" for name, _ in sections(rig)):
        rig.play(4)
    # Made, but not heard yet: the lead is a second, two bars.
    rig.command("song/section", "A", frame=first + 3 * BAR)
    rig.play(6 * BAR)
    assert sections(rig)[2:] == [("A", first + 3 * BAR), ("B", first + 7 * BAR)]
    assert score_at(rig, "temperature", first + 4 * BAR) == 1.0
    assert score_at(rig, "melody", first + 4 * BAR) is None


def test_the_clock_is_told_where_it_changes(rig: Rig, song: str, tmp_path: Path) -> None:
    text = SONG.replace('name = "B"', 'name = "B"\nbpm = 400\nbeats_per_bar = 3')
    (tmp_path / "song.toml").write_text(text)
    begun(rig, song)
    rig.play(12 * BAR)
    told = [one.get("bpm") for one in rig.of_kind("song")][:3]
    assert told == [480.0, 400.0, 480.0]
    assert rig.of_kind("song")[1]["beats_per_bar"] == 3
    assert rig.of_kind("song")[1]["transition_beats"] == 6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the song is empty"),
        ("[[section]]\nbars = 4\n", "no prompt"),
        (SONG.replace('recall = "A"', 'recall = "C"\nprompt = "pop"'), "which is none"),
        (LONG_MEMORY, "remembers 8 bars of 'A'"),
        (SONG.replace("drums", "choir"), "this checkpoint has"),
    ],
)
def test_a_song_that_cannot_be_played_is_refused_before_it_is_loaded(
    rig: Rig, tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    identity = rig.command("song/load", str(path))
    rig.fill()
    assert reason in rig.answer(identity).get("reason", ""), rig.answer(identity)
    play = rig.command("song/play", frame=4 * BAR)
    rig.fill()
    assert "no song is loaded" in rig.answer(play)["reason"]


def test_what_is_no_section_and_what_is_not_played_fail(rig: Rig, song: str) -> None:
    rig.command("song/load", song)
    wrong, stop = rig.command("song/section", "C", frame=BAR), rig.command("song/stop")
    rig.fill()
    assert "the song has A, B, A2" in rig.answer(wrong)["reason"]
    assert "no song is being played" in rig.answer(stop)["reason"]


def test_a_section_that_is_called_in_a_loop_follows_it(rig: Rig, song: str) -> None:
    begun(rig, song)
    rig.play(3 * BAR)
    rig.command("gen/freeze", 1, 1)
    rig.play(3 * BAR)
    assert rig.player.frozen is not None
    rig.command("song/section", "B")
    rig.play(BAR)
    follows = rig.player.splice.stream_frame
    released = rig.command("gen/freeze", 0, 1)
    rig.play(3 * BAR)
    score = rig.stage.engine.session.stream.score
    assert score.target_at("temperature", follows) == 0.5
    assert rig.applied_at(released) == rig.player.splice.session_frame
    assert not np.isnan(rig.heard).any()


def test_an_engine_that_starts_again_begins_the_section_once_more(
    models: dict[str, MusicGen], song: str
) -> None:
    rig = Rig(models["frame"], state=(("song/load", [song]), ("song/section", ["B"])))
    rig.play(6 * BAR)
    assert sections(rig) == [("B", 0), ("A2", 4 * BAR)]
    assert not rig.of_kind("error")


def test_an_engine_that_starts_again_knows_the_numbers_of_before_the_song(
    models: dict[str, MusicGen], tmp_path: Path
) -> None:
    """Control knows those of the section that plays, and tells them before the song."""
    path = tmp_path / "song.toml"
    text = SONG.replace("drums = true }", "drums = true }\nparameters = { cfg = 5.0 }")
    path.write_text(text)
    first = Rig(models["frame"], resume_folder=tmp_path)
    first.command("param/set", "cfg", 2.0)
    begun(first, str(path))
    first.play(3 * BAR)
    told = first.of_kind("state")[-1]["params"]
    assert told["cfg"] == 5.0
    state = ("param/set", ["cfg", 5.0]), ("song/load", [str(path)]), ("song/section", ["A"])
    second = Rig(
        models["frame"], resume_folder=tmp_path, is_resume=True, at_frame=8 * BAR, state=state
    )
    assert second.is_resumed
    second.play(6 * BAR)
    begins = sections(second)[1]
    assert begins[0] == "B"
    assert [score_at(second, "cfg", begins[1] + on) for on in (-1, 2 * BAR)] == [5.0, 2.0]
    assert not second.of_kind("error")
    # Another song that begins later goes by what stands then.
    second.command("song/stop")
    second.command("param/set", "cfg", 4.0)
    second.play(BAR)
    second.command("song/section", "A")
    second.play(BAR)
    assert second.stage.song.usual["cfg"] == 4.0


def test_another_stream_is_not_in_the_song(rig: Rig, song: str) -> None:
    begun(rig, song)
    rig.play(3 * BAR)
    rig.command("gen/panic")
    rig.play(8 * BAR)
    assert [name for name, _ in sections(rig)] == ["A", None]
