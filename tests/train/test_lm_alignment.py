"""What is trained is what is played: logits of a window against transformers and the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.frame_conditioning import FrameConditions
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.train.lm_attributes import attribute_states
from musicgen_rt.train.lm_data import frame_batch
from musicgen_rt.train.lm_loss import shifted
from musicgen_rt.train.lm_model import TrainableLM
from musicgen_rt.train.lm_records import (
    NO_TEMPO,
    PITCH_UNKNOWN,
    ROLE_UNKNOWN,
    ROLES,
    FrameTruth,
)
from tests.live.reference import Reference
from tests.train.test_lm_conditions import conditions_of, holed_truth

TEXT = "deep house, 124 bpm"
ATTRIBUTES = ("drums", "bass", "lead")


def trainable(folder: Path) -> TrainableLM:
    with Checkpoint.open(folder) as checkpoint:
        model = TrainableLM(checkpoint.config)
        model.load_checkpoint_tensors(checkpoint.tensor)
        if model.conditioner is not None:
            with torch.no_grad():
                for name, parameter in model.conditioner.tensors().items():
                    parameter.copy_(checkpoint.tensor(name))
    return model.eval()


@torch.no_grad()
def trained_logits(
    model: TrainableLM, codes: Tensor, texts: list[str | None], truths: list[FrameTruth]
) -> Tensor:
    """Logits [B, T, K, V] of windows of codes [B, K, T], as in training, ByT5's tokens by hand."""
    rows = [[] if text is None else [byte + 3 for byte in text.encode()] + [1] for text in texts]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[index < len(row) for index in range(length)] for row in rows])
    states = model.encode_text(ids, mask | ~mask.any(1, keepdim=True))
    states_of = [attribute_states(truth, {}, ATTRIBUTES) for truth in truths]
    lm = model.config.lm
    inputs, _ = shifted(codes, lm.delays, lm.pad_token)
    return model(inputs, states, mask, frame_batch(truths, states_of))


def test_logits_are_those_of_transformers(tiny_text: Path) -> None:
    reference, model = Reference(tiny_text), trainable(tiny_text)
    codes = torch.randint(64, (1, 4, 30), generator=torch.Generator().manual_seed(0))
    texts = [TEXT, None, "a long prompt beside a shorter one: techno"]
    unknown = [FrameTruth.unknown(30)] * 3
    ours = trained_logits(model, codes.expand(3, 4, 30), texts, unknown)
    delayed = reference.delayed(codes[0].numpy())[:, :-1]
    for row, text in enumerate(texts):
        expected = reference.logits(delayed, text)
        assert torch.allclose(ours[row], expected, atol=2e-4), text


def test_logits_of_a_window_are_those_of_the_live_model(tiny_frame_conditioned: Path) -> None:
    live = MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")
    frames, lm = 50, live.lm
    codes = torch.randint(64, (4, frames), generator=torch.Generator().manual_seed(1))
    truth = holed_truth(frames)
    cache = KVCache.allocate(lm.config, 1, frames, lm.dtype, lm.device)
    cross = CrossCache.allocate(lm.config, 1, 64, lm.dtype, lm.device)
    with torch.inference_mode():
        states = lm.conditioning.text_states(live.text.encode(TEXT))
        cross.set_row(0, lm.conditioning.cross_attention(states))
        assert live.conditioner is not None
        bias = live.conditioner(conditions_of(truth, ATTRIBUTES))[None]
        inputs, _ = shifted(codes, lm.config.delays, lm.config.pad_token)
        expected = lm.logits(lm.prefill(inputs, 0, cache, cross, bias))
    ours = trained_logits(trainable(tiny_frame_conditioned), codes[None], [TEXT], [truth])
    assert torch.allclose(ours, expected, atol=2e-4)


def test_greedy_tokens_of_the_engine_are_the_best_of_a_trained_window(
    tiny_frame_conditioned: Path,
) -> None:
    """Also after the window rolled: frames, positions and conditions lie as in training."""
    live = MusicGen.load(str(tiny_frame_conditioned), device="cpu", weights="fp32")
    options = EngineOptions(window_seconds=1.6, context_seconds=0.8)
    engine = Engine(live, options)
    engine.set_prompt(TEXT)
    engine.set_parameter("temperature", 0)
    engine.set_parameter("cfg", 1.0)
    engine.set_tempo(180.0)
    engine.set_attribute("drums", True)
    engine.set_attribute("bass", False, at_frame=30)
    engine.step(70)
    engine.set_tempo(140.0)
    engine.step(80)
    windows = engine.session.stream.windows
    assert len(windows) > 2, "the window must have rolled"
    model, made = trainable(tiny_frame_conditioned), engine.next_frame
    for window in [windows[0], windows[2]]:
        following = [other.since for other in windows if other.since > window.since]
        end = min([made - 4, *following])
        codes = torch.from_numpy(engine.codes(window.start, end).astype(np.int64))
        conditions = [
            engine.session.stream.situation(frame).conditions for frame in range(window.start, end)
        ]
        truth = truth_of(conditions)
        best = trained_logits(model, codes[None], [TEXT], [truth])[0].argmax(-1)  # [T, K]
        for codebook in range(4):
            # Column p makes codebook k of frame p - k; those before `since` were given.
            first = window.since - window.start
            for position in range(max(first, codebook), end - window.start):
                assert best[position, codebook] == codes[codebook, position - codebook]


def truth_of(conditions: list[FrameConditions]) -> FrameTruth:
    """The engine's conditions as training has them."""
    truth = FrameTruth.unknown(len(conditions))
    for frame, asked in enumerate(conditions):
        if asked.clock is not None:
            truth.bar_phase[frame] = asked.clock.bar_phase
            truth.beat_phase[frame] = asked.clock.beat_phase
            truth.beats_per_bar[frame] = asked.clock.beats_per_bar
            truth.bpm[frame] = asked.clock.bpm
        assert asked.pitch_class is None
        for name, is_on in asked.attributes:
            truth.roles[ROLES.index(name), frame] = is_on
    assert (truth.bpm != NO_TEMPO).any() and (truth.roles != ROLE_UNKNOWN).any()
    assert (truth.pitch_class == PITCH_UNKNOWN).all()
    return truth
