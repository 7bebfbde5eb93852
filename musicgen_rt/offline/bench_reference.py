"""The same work by transformers' own MusicGen, side by side in one run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    MusicgenForConditionalGeneration,
    MusicgenMelodyForConditionalGeneration,
)

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import DEFAULT_CHUNK_FRAMES, Engine
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.linear import WeightFormat
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.bench_engine import PROMPT, EngineBench
from musicgen_rt.offline.bench_figures import Clock, Figure, ReferenceFigures

_TOP_K = 250


def reference_dtype(formats: list[WeightFormat], device: torch.device) -> torch.dtype:
    """What transformers runs in: float32 if only that is measured, else its faster half."""
    if set(formats) == {WeightFormat.FP32}:
        return torch.float32
    return torch.bfloat16 if device.type == "cpu" else torch.float16


class Reference:
    """Transformers' model with its tokenizer, on the device of the engine."""

    def __init__(
        self, folder: Path, config: ModelConfig, dtype: torch.dtype, device: torch.device
    ) -> None:
        classes: dict[str, Any] = {
            "text": MusicgenForConditionalGeneration,
            "melody": MusicgenMelodyForConditionalGeneration,
        }
        self.dtype = dtype
        self._device = device
        self._inputs = AutoTokenizer.from_pretrained(folder)([PROMPT], return_tensors="pt")
        model = classes[config.kind].from_pretrained(folder, dtype=dtype, local_files_only=True)
        self._model = model.to(device).eval()
        # The codec runs in float32 here, so it does there.
        self._codec = copy.deepcopy(self._model.audio_encoder).float()
        self._channels = config.channels

    @torch.inference_mode()
    def generate(self, steps: int, cfg: float) -> None:
        """Run so many steps and decode what they made."""
        audio = self._model.generate(
            **self._inputs.to(self._device),
            do_sample=True,
            top_k=_TOP_K,
            guidance_scale=cfg,
            max_new_tokens=steps,
        )
        audio.float().cpu()

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> None:
        """Decode codes [K, T] at once, each channel by itself as transformers does."""
        for channel in range(self._channels):
            own = codes[None, None, channel :: self._channels].to(self._device)
            self._codec.decode(own, [None]).audio_values.cpu()


def compare(
    reference: Reference, model: MusicGen, bench: EngineBench, steps: int, clock: Clock
) -> ReferenceFigures:
    """Both from the prompt to decoded audio, taking turns; the first turn of each warms up."""
    engine = Engine(model, EngineOptions(compile_step=bench.compile))
    engine.set_parameter("cfg", bench.cfg)
    engine.set_parameter("top_k", _TOP_K)
    engine.set_prompt(PROMPT)
    theirs, ours = [], []
    for _ in range(bench.repetitions + 1):
        begun = clock()
        reference.generate(steps, bench.cfg)
        theirs.append(steps / (clock() - begun))
        engine.rollback(0)
        begun = clock()
        for at in range(0, steps, DEFAULT_CHUNK_FRAMES):
            engine.step(min(DEFAULT_CHUNK_FRAMES, steps - at))
        ours.append(steps / (clock() - begun))
    own, other = Figure.of(ours[1:]), Figure.of(theirs[1:])
    return ReferenceFigures(
        dtype=str(reference.dtype).removeprefix("torch."),
        steps=steps,
        own_steps_per_second=own,
        reference_steps_per_second=other,
        ratio=own.median / other.median,
    )
