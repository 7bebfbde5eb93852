"""Learning frame conditioners give what the engine's give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from musicgen_rt.contract.timeline import ClockPoint
from musicgen_rt.model.config import ClockConfig
from musicgen_rt.model.frame_conditioning import FrameConditions, clock_features
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.train.lm_attributes import attribute_states
from musicgen_rt.train.lm_conditions import TrainableConditioner, batched_clock_features
from musicgen_rt.train.lm_data import frame_batch
from musicgen_rt.train.lm_records import (
    NO_TEMPO,
    PITCH_UNKNOWN,
    ROLE_UNKNOWN,
    ROLES,
    FrameTruth,
)
from tests.train.lm_tiny import random_truth


def conditions_of(truth: FrameTruth, attributes: tuple[str, ...]) -> list[FrameConditions]:
    """What the engine would be asked of the same frames."""
    rows = []
    for frame in range(len(truth.bpm)):
        clock = ClockPoint(
            float(truth.bar_phase[frame]),
            float(truth.beat_phase[frame]),
            int(truth.beats_per_bar[frame]),
            float(truth.bpm[frame]),
        )
        pitch = int(truth.pitch_class[frame])
        flags = {name: int(truth.roles[ROLES.index(name), frame]) for name in attributes}
        rows.append(
            FrameConditions(
                clock if truth.bpm[frame] > NO_TEMPO else None,
                pitch if pitch != PITCH_UNKNOWN else None,
                tuple((n, bool(value)) for n, value in flags.items() if value != ROLE_UNKNOWN),
            )
        )
    return rows


def holed_truth(frames: int) -> FrameTruth:
    """Random conditions, each of which is unknown in some frames."""
    rng = np.random.default_rng(1)
    truth = random_truth(rng, frames, 131.0)
    truth.bpm[rng.random(frames) < 0.3] = NO_TEMPO
    truth.pitch_class[rng.random(frames) < 0.3] = PITCH_UNKNOWN
    truth.roles[rng.random(truth.roles.shape) < 0.3] = ROLE_UNKNOWN
    truth.beats_per_bar[rng.random(frames) < 0.3] = 3
    return truth


def test_clock_features_are_those_of_the_engine() -> None:
    truth = random_truth(np.random.default_rng(0), 50, 97.3)
    config = ClockConfig()
    points = [c.clock for c in conditions_of(truth, ())]
    expected = clock_features([point for point in points if point is not None], config)
    assert len(expected) == 50
    assert torch.equal(
        batched_clock_features(frame_batch([truth], [attribute_states(truth, {}, ())]), config)[0],
        expected,
    )


def test_the_sum_is_that_of_the_engine(tiny_frame_conditioned: Path) -> None:
    loaded = MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")
    config = loaded.config.frame_conditioning
    assert loaded.conditioner is not None and config is not None
    ours = TrainableConditioner(config, loaded.config.lm.d_model)
    with torch.no_grad():
        for name, parameter in ours.tensors().items():
            parameter.copy_(loaded.conditioner.get_buffer(name.replace(".", "_")))
    truth = holed_truth(60)
    states = attribute_states(truth, {}, config.attributes)
    expected = loaded.conditioner(conditions_of(truth, config.attributes))
    assert torch.allclose(ours(frame_batch([truth], [states]))[0], expected, atol=1e-5)
