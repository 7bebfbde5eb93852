"""The melody judge: tones whose pitch is known, right, transposed and in another order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from musicgen_rt.evaluate.pocket_melody import (
    REST,
    asked_classes,
    heard_classes,
    melody_agreement,
)
from musicgen_rt.evaluate.pocket_pieces import REQUEST_FIRST_SEED, Take, held_out_takes, is_steady
from musicgen_rt.train.music.plan import SongPlan
from tests.evaluate.music import tune_take

_TUNE = (60, 64, 67, 71, 69, 65, 62, 66)


def _agreement(take: Take) -> float:
    agreeing, frames = melody_agreement(heard_classes(take), asked_classes(take))
    return agreeing / frames


def test_hears_the_tune_that_is_played() -> None:
    assert _agreement(tune_take(_TUNE)) >= 0.85


@pytest.mark.parametrize("semitones", [1, 6, -3])
def test_a_transposed_tune_is_another_one(semitones: int) -> None:
    played = tune_take([pitch + semitones for pitch in _TUNE])
    assert _agreement(played.against(tune_take(_TUNE).request)) <= 0.2


def test_a_tune_in_another_order_is_another_one() -> None:
    played = tune_take(_TUNE[::-1])
    assert _agreement(played.against(tune_take(_TUNE).request)) <= 0.25


def test_rests_are_not_counted() -> None:
    take = tune_take(_TUNE)
    first_half = replace(take.request, melody=take.request.melody[:4])
    asked = asked_classes(take.against(first_half))
    assert (asked[101:] == REST).all()
    assert melody_agreement(heard_classes(take), asked)[1] == int((asked != REST).sum())


def _has_lead_alone(plan: SongPlan) -> bool:
    return plan.roles == {"lead"} and is_steady(plan)


def test_the_generators_lead_is_its_truth() -> None:
    takes = list(held_out_takes(REQUEST_FIRST_SEED, 3, 8.0, is_wanted=_has_lead_alone))
    right = [_agreement(take) for take in takes]
    shuffled = [
        _agreement(take.against(other.request))
        for take, other in zip(takes, takes[1:] + takes[:1], strict=True)
    ]
    assert min(right) >= 0.8
    assert max(shuffled) <= 0.5
