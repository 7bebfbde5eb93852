"""Frame conditioners: what is added to the decoder's input, against the tensors themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from musicgen_rt.contract.timeline import ClockPoint, Timeline
from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.config import ClockConfig, FrameConditioningConfig
from musicgen_rt.model.frame_conditioning import (
    NO_CONDITIONS,
    FrameConditioner,
    FrameConditions,
    clock_features,
)
from musicgen_rt.model.musicgen import MusicGen

POINT = ClockPoint(bar_phase=0.375, beat_phase=0.5, beats_per_bar=4, bpm=90.0)


@pytest.fixture(scope="module")
def conditioner(tiny_frame_conditioned: Path) -> FrameConditioner:
    found = MusicGen.load(str(tiny_frame_conditioned), device="cpu").conditioner
    assert found is not None
    return found


@pytest.fixture(scope="module")
def tensors(tiny_frame_conditioned: Path) -> dict[str, np.ndarray]:
    return dict(load_file(tiny_frame_conditioned / "frame_conditioning.safetensors"))


def test_clock_features_by_hand() -> None:
    config = ClockConfig(bar_harmonics=3, beat_harmonics=2, max_beats_per_bar=5)
    found = clock_features([POINT], config)[0].tolist()
    expected = [
        *(math.sin(2 * math.pi * k * 0.375) for k in (1, 2, 3)),
        *(math.cos(2 * math.pi * k * 0.375) for k in (1, 2, 3)),
        *(math.sin(2 * math.pi * k * 0.5) for k in (1, 2)),
        *(math.cos(2 * math.pi * k * 0.5) for k in (1, 2)),
        *(0.0, 0.0, 0.0, 1.0, 0.0),
        math.log2(90 / 120),
    ]
    assert len(found) == config.num_features
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_longer_bar_than_the_model_knows_counts_as_its_longest() -> None:
    config = ClockConfig(bar_harmonics=1, beat_harmonics=0, max_beats_per_bar=4)
    long_bar = ClockPoint(0.0, 0.0, 7, 120.0)
    assert clock_features([long_bar], config)[0].tolist() == [0, 1, 0, 0, 0, 1, 0]


def test_features_are_smooth_over_a_bar_line_and_repeat_each_bar() -> None:
    timeline, config = Timeline.start(120.0), ClockConfig()
    features = clock_features([timeline.clock_at(frame) for frame in range(300)], config)
    bar = 100
    assert torch.allclose(features[:200], features[bar:], atol=1e-5)
    first_harmonics = features[:, [0, config.bar_harmonics]]
    assert float((first_harmonics[1:] - first_harmonics[:-1]).norm(dim=1).max()) < 0.07


def test_all_conditions_are_summed(
    conditioner: FrameConditioner, tensors: dict[str, np.ndarray]
) -> None:
    asked = FrameConditions(POINT, 7, (("drums", True), ("lead", False)))
    found = conditioner([asked])[0].numpy()
    assert conditioner.config.clock is not None
    features = clock_features([POINT], conditioner.config.clock)[0].numpy()
    expected = (
        tensors["clock.weight"] @ features
        + tensors["clock.bias"]
        + tensors["chroma.weight"][7]
        + tensors["attributes.drums.weight"][1]
        + tensors["attributes.bass.null"]
        + tensors["attributes.lead.weight"][0]
    )
    assert found.shape == expected.shape == (64,)
    assert np.allclose(found, expected, atol=1e-5)


def test_nothing_asked_is_the_sum_of_the_nulls(
    conditioner: FrameConditioner, tensors: dict[str, np.ndarray]
) -> None:
    nulls = sum(tensor for name, tensor in tensors.items() if name.endswith(".null"))
    assert len([name for name in tensors if name.endswith(".null")]) == 5
    assert np.allclose(conditioner([NO_CONDITIONS])[0].numpy(), nulls, atol=1e-6)


def test_frames_do_not_depend_on_their_neighbours(conditioner: FrameConditioner) -> None:
    timeline = Timeline.start(101.3)
    frames = [
        FrameConditions(
            timeline.clock_at(frame) if frame % 3 else None,
            frame % 13 if frame % 5 else None,
            (("drums", frame % 2 == 0),) if frame % 7 else (),
        )
        for frame in range(50)
    ]
    together = conditioner(frames)
    alone = torch.cat([conditioner([frame]) for frame in frames])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_unconditional_row_hears_its_share_of_the_clock(
    tensors: dict[str, np.ndarray], conditioner: FrameConditioner, share: float
) -> None:
    given = {name: torch.from_numpy(value) for name, value in tensors.items()}
    sharing = FrameConditioner(replace(conditioner.config, unconditional_clock=share), given)
    frames = [FrameConditions(POINT, 3, (("drums", True),)), FrameConditions(None, 3)]
    nulls = conditioner([NO_CONDITIONS])[0]
    with_clock = conditioner([FrameConditions(POINT)])[0]
    found = sharing.unconditional(frames)
    assert torch.allclose(found[0], (1 - share) * nulls + share * with_clock, atol=1e-6)
    assert torch.equal(found[1], nulls), "without a clock there is nothing to share"


def test_the_unconditional_row_hears_what_is_not_wanted(
    tensors: dict[str, np.ndarray], conditioner: FrameConditioner
) -> None:
    given = {name: torch.from_numpy(value) for name, value in tensors.items()}
    name, other = conditioner.config.attributes[:2]
    negating = FrameConditioner(replace(conditioner.config, negative_attributes=(name,)), given)
    told = [
        FrameConditions(POINT, 3, ((name, False), (other, False))),
        FrameConditions(None, None, ((name, True),)),
        FrameConditions(POINT, 3, ((other, False),)),
    ]
    expected = [FrameConditions(attributes=((name, True),)), NO_CONDITIONS, NO_CONDITIONS]
    assert torch.equal(negating.unconditional(told), conditioner(expected))


def test_a_part_of_the_conditioners_may_be_there() -> None:
    weight = torch.randn(13, 8)
    only_chroma = FrameConditioner(
        FrameConditioningConfig(chroma=True),
        {"chroma.weight": weight, "chroma.null": torch.ones(8)},
    )
    found = only_chroma([FrameConditions(POINT, 12, (("drums", True),)), NO_CONDITIONS])
    assert torch.equal(found, torch.stack([weight[12], torch.ones(8)]))


def test_a_config_without_conditioners_is_refused() -> None:
    with pytest.raises(CheckpointError, match="clock, chroma or attributes"):
        FrameConditioner(FrameConditioningConfig(), {})
