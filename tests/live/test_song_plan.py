"""Compiling songs: frames of bars by hand, prompts in their slots, transitions, memories, tunes."""

from __future__ import annotations

from typing import Any

import pytest

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.score import PARAMETERS, Change, Score, default_controls
from musicgen_rt.live.song import Section, Song, Tune
from musicgen_rt.live.song_plan import Recall, SongPlan, compile_song

RATE_HZ = 50.0
_LONGEST_MEMORY = 299
_NUMBERS = {name: parameter.default for name, parameter in PARAMETERS.items()}


def section(name: str, bars: int = 4, text: str = "house, 120 bpm", **values: Any) -> Section:
    prompts = values.pop("prompts", (Prompt(text),))
    return Section(name, bars, prompts, values.pop("bpm", 120.0), **values)


def plan_of(*sections: Section, longest: int = _LONGEST_MEMORY, first: int = 0) -> SongPlan:
    return compile_song(Song("song", sections), RATE_HZ, _NUMBERS, longest, first)


def score_of(plan: SongPlan) -> Score:
    """What the engine's score holds after the cues, changes at one frame in their order."""
    score = Score(default_controls(3.0))
    for cue in plan.cues:
        for edit in cue.edits:
            score.set(edit.key, Change(cue.frame, edit.value, edit.ramp_frames))
    return score


def prompts_at(score: Score, frame: int) -> dict[str, float]:
    """What is heard: texts and weights other than 0."""
    places = range(8)
    weights = {score.at(f"prompt/{n}", frame): score.at(f"weight/{n}", frame) for n in places}
    return {text: weight for text, weight in weights.items() if weight}


def test_sections_lie_on_bar_lines_through_changes_of_tempo_and_metre() -> None:
    """4 bars of 2 s; 3 bars of 3 beats at 90, each 2 s; 2 bars at 100, each 2.4 s."""
    plan = plan_of(
        section("A"),
        section("B", 3, bpm=90.0, beats_per_bar=3),
        section("C", 2, bpm=100.0),
        first=70,
    )
    assert [(one.first_frame, one.end_frame) for one in plan.sections] == [
        (70, 470), (470, 770), (770, 1010),
    ]  # fmt: skip
    assert plan.end_frame == 1010
    assert [one.first_frame for one in plan.sections_from(70)] == [0, 400, 700]
    assert plan.timeline.clock_at(480).beats_per_bar == 3
    assert plan.timeline.bpm_at(770) == 100.0


def test_bar_lines_do_not_drift_when_bars_are_no_whole_frames() -> None:
    bars = 4 * [section("x", 31, bpm=113.0)]
    plan = plan_of(*(section(str(n), 31, bpm=113.0) for n, _ in enumerate(bars)))
    exact = 31 * 4 * 4 * 60 / 113 * RATE_HZ
    assert plan.end_frame == round(exact)


def test_prompts_change_on_the_bar_or_fade_over_the_transition() -> None:
    score = score_of(
        plan_of(
            section("A"),
            section("B", text="rock, 120 bpm"),
            section("C", text="jazz, 120 bpm", transition_bars=2),
            section("D", text="folk, 120 bpm"),
        )
    )
    assert prompts_at(score, 399) == {"house, 120 bpm": 1.0}
    assert prompts_at(score, 400) == {"rock, 120 bpm": 1.0}
    middle = prompts_at(score, 900)
    assert sum(middle.values()) == pytest.approx(1.0)
    assert middle["jazz, 120 bpm"] == pytest.approx(0.5, abs=0.01)
    assert prompts_at(score, 1000) == {"jazz, 120 bpm": 1.0}
    assert prompts_at(score, 1200) == {"folk, 120 bpm": 1.0}


def test_a_prompt_that_stays_keeps_its_slot_and_moves_its_weight() -> None:
    both = (Prompt("house, 120 bpm", 0.25), Prompt("rock, 120 bpm", 0.75))
    score = score_of(plan_of(section("A"), section("B", prompts=both, transition_bars=4)))
    assert score.at("prompt/0", 0) == score.at("prompt/0", 799) == "house, 120 bpm"
    assert score.at("weight/0", 600) == pytest.approx(0.625, abs=0.01)
    assert prompts_at(score, 800) == {"house, 120 bpm": 0.25, "rock, 120 bpm": 0.75}


def test_many_sections_share_eight_slots() -> None:
    crowds = [
        section(f"s{n}", prompts=tuple(Prompt(f"{n}-{k}, 120 bpm", 0.25) for k in range(4)),
                transition_bars=1)
        for n in range(6)
    ]  # fmt: skip
    score = score_of(plan_of(*crowds))
    for n in range(6):
        end = prompts_at(score, n * 400 + 399)
        assert end == {f"{n}-{k}, 120 bpm": 0.25 for k in range(4)}


def test_a_tempo_moves_beat_by_beat_through_a_transition() -> None:
    plan = plan_of(section("A"), section("B", bpm=140.0, transition_bars=2))
    start = plan.sections[1].first_frame
    beat = plan.timeline.beat_at(start)
    tempi = [plan.timeline.bpm_at(plan.timeline.frame_at(beat + n) + 2) for n in range(9)]
    assert tempi == pytest.approx([122.5 + 2.5 * min(n, 7) for n in range(9)])
    assert plan.timeline.bpm_at(start - 1) == 120.0


def test_numbers_and_attributes_that_one_section_names_return_in_the_next() -> None:
    score = score_of(
        plan_of(
            section("A", parameters={"cfg": 5.0, "seed": 7}, attributes={"drums": False}),
            section("B", negative="noise", transition_bars=2),
            section("C"),
        )
    )
    assert score.at("cfg", 0) == 5.0
    assert score.at("cfg", 500) == pytest.approx(4.0, abs=0.02)
    assert score.at("cfg", 600) == _NUMBERS["cfg"]
    assert (score.at("seed", 399), score.at("seed", 400)) == (7, 0)
    assert (score.at("attribute/drums", 0), score.at("attribute/drums", 400)) == (False, None)
    assert [score.at("negative", frame) for frame in (0, 400, 800)] == [None, "noise", None]


def test_a_recall_remembers_opening_bars_in_a_window_of_its_own_and_is_forgotten_after() -> None:
    plan = plan_of(
        section("A"), section("B"), section("A2", recall="A", memory_bars=1), section("C")
    )
    assert plan.recalls == (Recall(at_frame=800, first_frame=0, frames=100),)
    score = score_of(plan)
    assert score.at("roll", 800) is True
    assert score.next_change("roll", 0) == 800
    assert [score.at("context_bars", frame) for frame in (799, 800, 801)] == [0, 1, 0]
    assert score.next_change("memory", 0) == 1200
    assert score.at("memory", 1200) is None


def test_what_is_remembered_begins_after_the_transition() -> None:
    plan = plan_of(
        section("A"),
        section("B", text="rock, 120 bpm", transition_bars=1),
        section("C", text="jazz, 120 bpm", transition_bars=4),
        section("B2", recall="B"),
        section("C2", recall="C"),
    )
    assert [(one.first_frame, one.frames) for one in plan.recalls] == [(500, 200), (800, 200)]


def test_as_many_bars_are_remembered_as_fit_unless_they_are_asked_for() -> None:
    sections = [section("A"), section("B"), section("A2", recall="A")]
    assert [one.frames for one in plan_of(*sections).recalls] == [200]
    assert [one.frames for one in plan_of(*sections, longest=150).recalls] == [100]
    asked = section("A2", recall="A", memory_bars=4)
    with pytest.raises(ParameterError, match=r"remembers 4 bars of 'A', 400 frames.* at most 299"):
        plan_of(*sections[:2], asked)
    with pytest.raises(ParameterError, match="remembers 1 bars of 'A'"):
        plan_of(*sections, longest=99)


def test_a_tune_loops_through_its_section_on_the_beats() -> None:
    """Two beats of C, one of E, one of rest, in bars of 2 s that slow down to 4 s."""
    tune = Tune(((0.0, 2.0, 60), (2.0, 1.0, 64)), 4.0)
    plan = plan_of(section("A", melody=tune), section("B", melody=tune, bpm=60.0), section("C"))
    score = score_of(plan)
    for start, beat_frames in ((0, 25), (300, 25), (400, 50), (1000, 50)):
        melody = score.at("melody", start)
        assert isinstance(melody, PlacedMelody)
        middles = [start + round((beat + 0.5) * beat_frames) for beat in range(4)]
        assert [melody.pitch_class_at(frame) for frame in middles] == [0, 0, 4, 12]
    assert score.at("melody", plan.sections[2].first_frame) is None


def test_a_song_of_more_than_a_day_is_refused() -> None:
    with pytest.raises(ParameterError, match="the song lasts"):
        plan_of(*(section(str(n), 1000, bpm=20.0, beats_per_bar=16) for n in range(2)))
