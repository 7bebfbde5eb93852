"""Masked decoding makes audiocraft's tokens, fills any hole, and leaves what is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_rt.errors import NonFiniteError, ParameterError
from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.conditioning import Row, Situation
from musicgen_rt.live.masked_decoder import MaskedDecoder, annealed
from musicgen_rt.live.row_conditions import RowConditions
from musicgen_rt.live.sampling import SamplingParameters
from musicgen_rt.live.span_masking import Arrangement, mask_share
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.model.frame_conditioning import NO_CONDITIONS
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.magnet_config import MagnetConfig
from musicgen_rt.model.musicgen import MusicGen
from tests.support.audiocraft import Recorded, convert_recorded

FRAMES = 48
STEPS = (6, 3, 3, 3)
CPU = torch.device("cpu")


def converted(tmp_path_factory: pytest.TempPathFactory, name: str) -> MusicGen:
    folder: Path = convert_recorded(tmp_path_factory.mktemp(name), name)
    return MusicGen.load(str(folder), device="cpu", weights="fp32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    return converted(tmp_path_factory, "magnet")


@pytest.fixture(scope="module")
def sound_model(tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    return converted(tmp_path_factory, "audio_magnet")


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded.load("magnet")


def magnet(model: MusicGen) -> MagnetConfig:
    assert model.config.magnet is not None
    return replace(model.config.magnet, decoding_steps=STEPS)


def situation(prompt: str | None, *, top_k: int = 1, seed: int = 0) -> Situation:
    """Guidance 10 and temperature 3, as audiocraft has them; a top_k of 1 is its argmax."""
    rows = (Row("uncond", None, None, False), Row("prompt/0", prompt, None, True))
    sampling = SamplingParameters(3.0, top_k, 0.0)
    return Situation(rows, (-9.0, 10.0), sampling, seed, NO_CONDITIONS, 10.0)


def slot(model: MusicGen, asked: Situation) -> CacheSlot:
    config, rows = model.lm.config, len(asked.rows)
    cache = KVCache.allocate(config, rows, 64, torch.float32, CPU)
    cross = CrossCache.allocate(config, rows, 64, torch.float32, CPU)
    made = CacheSlot(cache, cross)
    RowConditions(model.config, model.lm, model.text, 64).set_texts(made, asked.rows)
    return made


def holes(frames: int = FRAMES) -> np.ndarray:
    return np.full((4, frames), UNKNOWN, dtype=np.int64)


def fill(model: MusicGen, codes: np.ndarray, asked: Situation, **options: object) -> np.ndarray:
    decoder = MaskedDecoder(model.lm, magnet(model), **options)  # type: ignore[arg-type]
    return decoder.fill(codes, 100, slot(model, asked), asked)


@pytest.mark.parametrize("arrangement", ["nonoverlap", "stride1"])
@pytest.mark.parametrize("start", ["alone", "continued"])
def test_tokens_are_audiocrafts(
    model: MusicGen, recorded: Recorded, arrangement: Arrangement, start: str
) -> None:
    codes = holes()
    if start == "continued":
        prompt = recorded.outputs["prompt_codes"].numpy()
        codes[:, : prompt.shape[1]] = prompt
    found = fill(model, codes, situation(recorded.prompts[0]), arrangement=arrangement)
    expected = recorded.outputs[f"codes_{arrangement}_{start}"].numpy()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("arrangement", ["nonoverlap", "stride1"])
def test_tokens_of_sounds_are_audiocrafts(sound_model: MusicGen, arrangement: Arrangement) -> None:
    """Guidance from 20 down, a wider text, another codec."""
    recorded = Recorded.load("audio_magnet")
    asked = replace(situation(recorded.prompts[0]), coefficients=(-19.0, 20.0), guidance=20.0)
    found = fill(sound_model, holes(), asked, arrangement=arrangement)
    expected = recorded.outputs[f"codes_{arrangement}_alone"].numpy()
    assert np.array_equal(found, expected)


def test_a_hole_in_the_middle_is_filled_and_its_surroundings_stay(
    model: MusicGen, recorded: Recorded
) -> None:
    given = recorded.outputs["codes_nonoverlap_alone"].numpy()
    codes = given.copy()
    codes[:, 17:31] = UNKNOWN
    asked = situation(recorded.prompts[1], top_k=0, seed=3)
    found = fill(model, codes, asked)
    outside = np.r_[0:17, 31:FRAMES]
    assert np.array_equal(found[:, outside], given[:, outside])
    assert found.min() >= 0 and found.max() < model.config.lm.vocab_size
    # What follows the hole is heard in it: no model that only looks back can do that.
    codes[:, 31:] = (codes[:, 31:] + 7) % model.config.lm.vocab_size
    assert not np.array_equal(fill(model, codes, asked)[:, 17:31], found[:, 17:31])


@pytest.mark.parametrize("frames", [1, 2, 47])
def test_any_length_is_filled(model: MusicGen, frames: int) -> None:
    for arrangement in ("nonoverlap", "stride1"):
        found = fill(model, holes(frames), situation(None, top_k=0), arrangement=arrangement)
        assert found.min() >= 0


def test_the_seed_decides(model: MusicGen) -> None:
    first, again, other = (
        fill(model, holes(), situation("rain", top_k=0, seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_to_fill_costs_nothing(model: MusicGen, recorded: Recorded) -> None:
    given = recorded.outputs["codes_nonoverlap_alone"].numpy()
    asked = situation("rain")
    calls: list[tuple[int, int]] = []
    decoder = MaskedDecoder(model.lm, magnet(model))
    empty = CacheSlot(KVCache.allocate(model.lm.config, 2, 1, torch.float32, CPU), None)
    found = decoder.fill(given, 0, empty, asked, lambda done, todo: calls.append((done, todo)))
    assert np.array_equal(found, given)
    assert calls[-1] == (sum(STEPS), sum(STEPS))


def test_logits_that_are_not_finite_are_told(model: MusicGen) -> None:
    asked = situation("rain")
    spoilt = slot(model, asked)
    assert spoilt.cross is not None
    spoilt.cross.keys[0][1] = torch.nan
    with pytest.raises(NonFiniteError):
        MaskedDecoder(model.lm, magnet(model)).fill(holes(), 0, spoilt, asked)


class Opinion:
    """A rescorer that is sure of nothing but tokens below a limit."""

    def __init__(self) -> None:
        self.codebooks: list[int] = []

    def probability(self, codes: torch.Tensor, codebook: int) -> torch.Tensor:
        self.codebooks.append(codebook)
        return (codes[codebook] < 8).float()


def test_a_rescorer_is_asked_and_changes_what_stays(model: MusicGen) -> None:
    opinion = Opinion()
    asked = situation("rain", top_k=0)
    plain = fill(model, holes(), asked)
    assert np.array_equal(fill(model, holes(), asked, rescorer=opinion, rescoring=0.0), plain)
    rescored = fill(model, holes(), asked, rescorer=opinion, rescoring=1.0)
    assert sorted(set(opinion.codebooks)) == [0, 1, 2, 3]
    assert (rescored < 8).mean() > (plain < 8).mean()


def test_guidance_falls_with_the_mask() -> None:
    asked = situation("rain")
    assert annealed(asked, 1.0, 1.0).tolist() == [-9.0, 10.0]
    assert annealed(asked, 0.0, 1.0).tolist() == [0.0, 1.0]
    assert annealed(asked, 0.5, 2.0).tolist() == [-5.0, 6.0]
    alone = replace(asked, rows=asked.rows[1:], coefficients=(1.0,), guidance=1.0)
    assert annealed(alone, 0.5, 2.0).tolist() == [1.0]


def test_shares_are_a_quarter_of_a_cosine() -> None:
    assert [round(mask_share(step, 3), 6) for step in range(3)] == [1.0, 0.707107, 0.0]
    assert mask_share(0, 1) == 1.0


@pytest.mark.parametrize("options", [{"arrangement": "random"}, {"rescoring": 1.5}])
def test_options_out_of_range(model: MusicGen, options: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="expected"):
        MaskedDecoder(model.lm, magnet(model), **options)  # type: ignore[arg-type]
