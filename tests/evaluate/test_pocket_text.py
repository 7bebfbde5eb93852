"""Tempo from a text alone: the player is told what was read in it, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from musicgen_rt.evaluate.pocket_control import Stage, evaluate_text_tempo
from musicgen_rt.evaluate.pocket_pieces import Request, Take
from musicgen_rt.evaluate.pocket_play import Told
from musicgen_rt.evaluate.pocket_targets import reached
from tests.evaluate.music import click_take, request

READ_BPM = 97.0


class PlayedError(Exception):
    """What a stage was about to play."""

    def __init__(self, request: Request, told: Told | None) -> None:
        super().__init__()
        self.request, self.told = request, told


class Waltzes(Stage):
    """A stage whose requests are waltzes, and whose player says what it was told."""

    def requests(self, count: int) -> list[Take]:
        return [click_take(140.0).against(request(140.0, beats_per_bar=3))] * count

    def play(self, request: Request, index: int, told: Told | None = None) -> Take:
        raise PlayedError(request, told)


def test_the_clock_is_the_one_that_was_read() -> None:
    reader = SimpleNamespace(predict=lambda text: {"bpm": READ_BPM})
    player: Any = SimpleNamespace(model=SimpleNamespace(text_attributes=reader))

    def unheard() -> Any:
        raise AssertionError("nothing is judged before it is played")

    stage = Waltzes(player, unheard, lambda take: take, lambda label, done, total: None)
    with pytest.raises(PlayedError) as caught:
        evaluate_text_tempo(stage, 1)
    asked, told = caught.value.request, caught.value.told
    assert asked.bpm == READ_BPM
    assert asked.grid.bpm(1.0) == pytest.approx(READ_BPM)
    assert asked.grid.beats_per_bar == 4, "nobody read that it is a waltz"
    assert told == Told(clock=True, melody=False, attributes=False)


@pytest.mark.parametrize(
    ("entropy", "flatness", "missed"),
    [
        (0.95, [0.8, 1.3], set()),
        (0.4, [0.8, 1.3], {"endless: pitch classes kept, part"}),
        (1.0, [0.05, 1.3], {"endless: flatness kept, least part"}),
        (1.0, [0.8, 30.0], {"endless: flatness kept, most"}),
    ],
)
def test_a_collapse_is_missed_targets(
    entropy: float, flatness: list[float], missed: set[str]
) -> None:
    worst = {
        "pitch_class_entropy_last_to_first": entropy,
        "spectral_flatness_last_to_first": flatness,
    }
    rows = reached({"endless": {"worst": worst}})
    assert len(rows) == 3
    assert {row.name for row in rows if not row.is_reached} == missed
