"""A prompt speaks for the attributes that are left free, each prompt in its own row."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from musicgen_rt.live.build import EngineOptions, implied_attributes
from musicgen_rt.live.conditioning import Row, RowBias
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.implied_attributes import ImpliedAttributes
from musicgen_rt.model.frame_conditioning import NO_CONDITIONS, FrameConditions
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.text_attributes import (
    AttributeHeads,
    AttributeNames,
    TextAttributes,
    style_attribute,
)

NAMES = AttributeNames(
    ("house", "lo-fi hip hop"), ("C major",), ("drums", "bass", "lead"), 100, 140
)


@pytest.fixture(scope="module")
def model(tiny_frame_conditioned: Path) -> MusicGen:
    return MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")


def reader(model: MusicGen, style_logit: float, role_logits: list[float]) -> TextAttributes:
    """Heads that say the same of any text, through a real text encoder."""
    heads = AttributeHeads(model.config.text_d_model, NAMES)
    with torch.no_grad():
        for parameter in heads.outputs.parameters():
            parameter.zero_()
        biases = dict(heads.outputs.named_parameters())
        biases["style.bias"][1] = style_logit
        biases["roles.bias"].copy_(torch.tensor(role_logits))
    return TextAttributes(model.text, heads)


def test_what_is_certain_is_implied_and_nothing_else(model: MusicGen) -> None:
    names = ("drums", "bass", "lead", "lo_fi_hip_hop", "house")
    implied = ImpliedAttributes(reader(model, 3.0, [4.0, -4.0, 0.5]), names)
    assert dict(implied("any")) == {"drums": True, "bass": False, "lo_fi_hip_hop": True}
    assert implied(None) == ()
    vague = ImpliedAttributes(reader(model, 0.1, [1.0, -1.0, 0.0]), names)
    assert vague("any") == ()


def test_only_what_the_checkpoint_can_hear_is_implied(model: MusicGen) -> None:
    heads = reader(model, 3.0, [4.0, -4.0, 4.0])
    assert dict(ImpliedAttributes(heads, ("bass",))("any")) == {"bass": False}
    assert ImpliedAttributes(heads, ())("any") == ()
    assert implied_attributes(model)("any") == (), "this checkpoint has no heads"


def test_a_style_becomes_a_name_that_commands_can_carry() -> None:
    assert style_attribute("lo-fi hip hop") == "lo_fi_hip_hop"
    assert style_attribute("Rock / Funk!") == "rock_funk"


def test_each_row_hears_its_own_prompt_and_the_performer_above_it(model: MusicGen) -> None:
    assert model.conditioner is not None
    said = {"loud": (("drums", True), ("bass", True)), "soft": (("drums", False),), None: ()}
    bias = RowBias(model.conditioner, lambda text: said[text], model.device)
    rows = [
        Row("uncond", "loud", None, False),
        Row("prompt/0", "loud", None, True),
        Row("prompt/1", "soft", None, True),
        Row("plain", None, None, True),
    ]
    asked = [NO_CONDITIONS, FrameConditions(attributes=(("drums", False), ("lead", True)))]
    found = bias(rows, asked)
    assert found is not None

    def expected(*attributes: tuple[str, bool]) -> torch.Tensor:
        assert model.conditioner is not None
        return model.conditioner([FrameConditions(attributes=attributes)])[0]

    free = expected()
    told = (("drums", False), ("lead", True))
    assert torch.equal(found[0], torch.stack([free, free])), "guidance's row has the nulls"
    assert torch.equal(found[1, 0], expected(("drums", True), ("bass", True)))
    assert torch.equal(found[1, 1], expected(*told, ("bass", True)))
    assert torch.equal(found[2], torch.stack([expected(("drums", False)), expected(*told)]))
    assert torch.equal(found[3], torch.stack([free, expected(*told)]))


def test_guidance_moves_away_from_what_nobody_wants(model: MusicGen) -> None:
    """Off by hand, or in all prompts: then the unconditional row is told that it plays."""
    assert model.conditioner is not None
    negating = copy.deepcopy(model.conditioner)
    negating.config = replace(negating.config, negative_attributes=("drums", "lead"))
    said = {"loud": (("drums", True), ("bass", False)), "soft": (("drums", False),)}
    bias = RowBias(negating, lambda text: said.get(text or "", ()), model.device)
    loud, soft = (Row(text, text, None, True) for text in said)
    asked = [NO_CONDITIONS, FrameConditions(attributes=(("drums", True), ("lead", False)))]
    by_hand = FrameConditions(attributes=(("lead", True),))
    drums = FrameConditions(attributes=(("drums", True),))
    for rows, of_prompts in (
        ([soft], drums),
        ([soft, soft], drums),
        ([loud, soft], NO_CONDITIONS),
        ([loud], NO_CONDITIONS),
        ([], NO_CONDITIONS),
    ):
        found = bias([Row("uncond", None, None, False), *rows], asked)
        assert found is not None
        assert torch.equal(found[0], negating([of_prompts, by_hand])), rows


def test_the_engine_plays_as_if_the_performer_had_asked(
    model: MusicGen,
) -> None:
    """A prompt that implies attributes gives the music of the same attributes set by hand."""
    options = EngineOptions(window_seconds=10.0, context_seconds=4.0)
    by_hand = Engine(model, options)
    by_hand.set_prompt("deep house")
    by_hand.set_attribute("drums", True)
    by_hand.set_attribute("bass", False)
    by_hand.step(20)
    plain = Engine(model, options)
    plain.set_prompt("deep house")
    plain.step(20)
    speaking = replace(model, text_attributes=reader(model, 0.0, [4.0, -4.0, 0.0]))
    implied = Engine(speaking, options)
    implied.set_prompt("deep house")
    implied.step(20)
    assert (implied.codes(0, 16) == by_hand.codes(0, 16)).all()
    assert (implied.codes(0, 16) != plain.codes(0, 16)).any()
