"""Prompts ask for the tempo and the metre of a model that is told no beats, and of no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.asked_tempo import LONGEST_WORDS, tempo_words, with_words
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.recipe import Recipe
from musicgen_rt.offline.render import begin
from tests.live.worker_rig import Rig


@pytest.mark.parametrize(
    ("bpm", "beats", "before", "words"),
    [
        (124.0, 4, None, "124 bpm"),
        (93.7, 3, None, "94 bpm, 3/4 time"),
        (124.6, 4, "124 bpm", "124 bpm"),  # a host that wanders a little
        (126.0, 4, "124 bpm", "126 bpm"),
        (124.0, 7, "124 bpm", "124 bpm, 7/4 time"),
        (124.0, 4, "124 bpm, 7/4 time", "124 bpm"),
    ],
)
def test_the_words(bpm: float, beats: int, before: str | None, words: str) -> None:
    assert tempo_words(bpm, beats, before) == words
    assert len(words) <= len(LONGEST_WORDS)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("warm house", "warm house, 124 bpm"),
        ("warm house at 90 BPM", "warm house at 90 BPM"),
        ("90bpm dub", "90bpm dub"),
        ("no bpm given", "no bpm given, 124 bpm"),
    ],
)
def test_a_prompt_that_names_a_tempo_is_left_alone(text: str, asked: str) -> None:
    assert with_words(text, "124 bpm") == asked
    assert with_words(text, None) == text


def asked_texts(rig: Rig) -> set[str | None]:
    """What the rows of the next step are conditioned on."""
    stream = rig.stage.engine.session.stream
    return {row.text for row in stream.situation(rig.stage.engine.next_frame).rows}


def test_the_session_s_tempo_is_asked_for_and_asked_anew_when_it_changes(
    models: dict[str, MusicGen],
) -> None:
    rig = Rig(models["text"])
    rig.play(20)
    assert "deep house, 480 bpm" in asked_texts(rig)
    later = rig.timeline.with_tempo(60, bpm=440.0, beats_per_bar=3)
    rig.tell("timeline", timeline=later.to_json(), frame=60)
    rig.play(60)
    assert "deep house, 440 bpm, 3/4 time" in asked_texts(rig)
    assert rig.stage.controls()["prompts"]["0"] == "deep house", "clients see their own words"
    rig.command("gen/undo", 1)
    rig.play(30)
    assert "deep house, 440 bpm, 3/4 time" in asked_texts(rig)


def test_it_can_be_switched_off_and_on(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["text"])
    rig.play(8)
    rig.tell("lead", lead_ms=1000, ask_tempo=0)
    rig.play(8)
    assert "deep house" in asked_texts(rig)
    rig.tell("lead", lead_ms=1000, ask_tempo=1)
    rig.play(8)
    assert "deep house, 480 bpm" in asked_texts(rig)


def test_a_model_that_is_told_the_beats_is_not_asked(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["frame"])
    rig.play(8)
    assert "deep house" in asked_texts(rig)


def test_a_session_that_is_remade_from_its_log_asks_the_same(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["text"])
    rig.play(12)
    score = rig.stage.engine.log()["score"]["tracks"]
    assert [value for _, value, _ in score["tempo_words"]["changes"]] == ["480 bpm"]


@pytest.mark.parametrize("asks", [True, False])
def test_a_render_asks_if_it_shall(models: dict[str, MusicGen], asks: bool) -> None:
    recipe = Recipe(
        "tiny", 1.0, prompts=(Prompt("surf rock"),), bpm=132.0, beats_per_bar=3, asks_tempo=asks
    )
    expected = "surf rock, 132 bpm, 3/4 time" if asks else "surf rock"
    score = begin(recipe, models["text"]).session.stream.score
    assert score.at("prompt/0", 0) == expected
    told = begin(replace(recipe, asks_tempo=True), models["frame"]).session.stream.score
    assert told.at("prompt/0", 0) == "surf rock"
    assert Recipe.from_json(recipe.to_json()) == recipe
    old = {k: v for k, v in recipe.to_json().items() if k != "asks_tempo"}
    assert Recipe.from_json(old).asks_tempo is False, "what was rendered before is made again so"


def test_a_timeline_that_moves_by_hairs_asks_nothing_new(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["text"], timeline=Timeline.start(124.5))
    rig.play(12)
    score = rig.stage.engine.session.stream.score
    for step in range(4):
        moved = rig.timeline.with_tempo(40 + step, bpm=124.5 + 0.01 * (-1) ** step)
        rig.tell("timeline", timeline=moved.to_json(), frame=40 + step)
        rig.play(4)
    assert score.changes_after(1, ("tempo_words",)) == []
