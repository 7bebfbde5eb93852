"""A stand-in for a model: its speed, its faults and what it plays can be set.

It is a real (tiny) checkpoint in a real engine, with three parts replaced. The step of the language
model computes nothing: it plays what the conditions ask for, as tokens. The conditioner passes the
conditions on. The decoder turns the tokens into sound that a detector can find.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from musicgen_rt.model.codec import CodecState
from musicgen_rt.model.codec_frames import FrameDecoder
from musicgen_rt.model.codec_seanet import StreamState
from musicgen_rt.model.frame_conditioning import FrameConditions
from musicgen_rt.model.musicgen import MusicGen

# Tokens of the first codebook: nothing, a beat, or a pitch class 0-11 from here on.
NOTHING, BEAT, FIRST_PITCH = 0, 1, 2
CLICK_LEVEL, TONE_LEVEL = 0.8, 0.2
CLICK_SAMPLES = 64
_SURE = 50.0
_MIDDLE_C_HZ = 261.6256
_BEAT_FLAG, _DRUMS_OFF_FLAG, _PITCH_FLAG = 0, 1, 2


@dataclass
class StandIn:
    """What the stand-in does; may be changed while it plays. Steps count from its start.

    `content` is "clicks" (one on each beat of the clock, unless drums are off, and the melody's
    pitch class as a tone of its octave), "tone" (220 Hz), "silence" or "noise".
    """

    content: str = "clicks"
    steps_per_second: float | None = None
    nan_at_steps: Sequence[int] = ()
    crash_at_step: int | None = None
    hang_at_step: int | None = None
    errors_at_steps: dict[int, Exception] = field(default_factory=dict)
    step: int = 0
    on_step: Callable[[StandIn], None] = lambda stand_in: None

    def before_step(self) -> bool:
        """Count a step and do what shall happen there; whether its logits are good."""
        step, self.step = self.step, self.step + 1
        self.on_step(self)
        if step == self.crash_at_step:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == self.hang_at_step:
            time.sleep(1e6)
        if step in self.errors_at_steps:
            raise self.errors_at_steps[step]
        if self.steps_per_second:
            time.sleep(1 / self.steps_per_second)
        return step not in self.nan_at_steps


def stand_in_model(model: MusicGen, stand_in: StandIn) -> MusicGen:
    """The model with its step, conditioner and decoder replaced."""
    lm = copy.copy(model.lm)
    lm.__dict__["step"] = _Step(model, stand_in)
    conditioner: Any = None if model.conditioner is None else _Conditioner(model)
    codec = _Decoder(model.codec, stand_in)
    return replace(model, lm=lm, conditioner=conditioner, codec=codec)


class _Step:
    """In place of `LM.step`."""

    def __init__(self, model: MusicGen, stand_in: StandIn) -> None:
        self._num_codebooks = model.config.lm.num_codebooks
        self._vocab_size = model.config.lm.vocab_size
        self._stand_in = stand_in

    def __call__(
        self, tokens: Tensor, position: Tensor, span: int, cache: Any, cross: Any, bias: Any
    ) -> Tensor:
        """Logits [B, K, V] that are sure of what the bias asks for."""
        is_good = self._stand_in.before_step()
        logits = torch.zeros(cache.rows, self._num_codebooks, self._vocab_size)
        for row in range(cache.rows):
            token = NOTHING if bias is None else _asked(bias[row])
            logits[row, :, token] = _SURE
        if not is_good:
            logits[0, 0, 0] = float("nan")
        return logits


def _asked(bias: Tensor) -> int:
    if bias[_BEAT_FLAG] > 0 and not bias[_DRUMS_OFF_FLAG] > 0:
        return BEAT
    pitch = int(bias[_PITCH_FLAG])
    return FIRST_PITCH + pitch - 1 if pitch else NOTHING


class _Conditioner(nn.Module):
    """In place of `FrameConditioner`: the conditions as they are, in the first dimensions."""

    def __init__(self, model: MusicGen) -> None:
        super().__init__()
        self.config = model.config.frame_conditioning
        self._size = model.config.lm.d_model
        self._frame_rate_hz = model.config.frame_rate_hz

    def forward(self, conditions: Sequence[FrameConditions]) -> Tensor:
        """float32 [T, D]."""
        rows = torch.zeros(len(conditions), self._size)
        for row, condition in zip(rows, conditions, strict=True):
            clock = condition.clock
            if clock is not None:  # the frame nearest to the beat
                frames = clock.beat_phase * 60 / clock.bpm * self._frame_rate_hz
                frames_left = (1 - clock.beat_phase) * 60 / clock.bpm * self._frame_rate_hz
                row[_BEAT_FLAG] = float(frames < 0.5 or frames_left <= 0.5)
            row[_DRUMS_OFF_FLAG] = float(dict(condition.attributes).get("drums") is False)
            if condition.pitch_class is not None and condition.pitch_class < 12:
                row[_PITCH_FLAG] = condition.pitch_class + 1
        return rows

    def unconditional(self, conditions: Sequence[FrameConditions]) -> Tensor:
        """Nothing: float32 [T, D]."""
        return torch.zeros(len(conditions), self._size)


@dataclass(frozen=True)
class _State(StreamState):
    """With the first codebook of the frames whose samples are not final yet."""

    recent: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))


class _Decoder(FrameDecoder):
    """In place of the codec's decoder: as late as it, but with sound of its own."""

    def __init__(self, decoder: FrameDecoder, stand_in: StandIn) -> None:
        super().__init__(decoder.codec, decoder.channels)
        self._stand_in = stand_in

    def start(self) -> CodecState:
        return _State(0, ())

    def decode_chunk(self, state: CodecState, codes: Tensor) -> tuple[Tensor, CodecState]:
        """See `FrameDecoder.decode_chunk`."""
        assert isinstance(state, _State)
        recent = torch.cat([state.recent, codes[0]])
        end_frame = state.frames + codes.shape[1]
        first_frame = end_frame - len(recent)
        first, end = self.samples_ready(state.frames), self.samples_ready(end_frame)
        samples = torch.zeros(self.channels, end - first)
        samples[:] = self._sound(recent, first_frame, first, end)
        still_open = end_frame - end // self.hop_samples + 1
        return samples, _State(end_frame, (), recent[-still_open:])

    def _sound(self, tokens: Tensor, first_frame: int, first: int, end: int) -> Tensor:
        """Samples [first, end) of the stream, whose frames from `first_frame` on are known."""
        at = torch.arange(first, end)
        if self._stand_in.content == "silence":
            return torch.zeros(len(at))
        if self._stand_in.content == "noise":
            generator = torch.Generator().manual_seed(first)
            return torch.rand(len(at), generator=generator) - 0.5
        seconds = at.double() / self.sample_rate_hz
        if self._stand_in.content == "tone":
            return (TONE_LEVEL * torch.sin(2 * torch.pi * 220 * seconds)).float()
        if not len(at):
            return torch.zeros(0)
        frames = torch.div(at, self.hop_samples, rounding_mode="floor")
        token = tokens[frames - first_frame]
        click = (token == BEAT) & (at % self.hop_samples < CLICK_SAMPLES)
        pitch_hz = _MIDDLE_C_HZ * 2 ** ((token - FIRST_PITCH) / 12)
        tone = TONE_LEVEL * torch.sin(2 * torch.pi * pitch_hz * seconds) * (token >= FIRST_PITCH)
        return (CLICK_LEVEL * click + tone).float()


def follow_file(stand_in: StandIn, path: Path) -> None:
    """Let a JSON file set the stand-in's fields, read again whenever it changes.

    "error_at_step" and "error" ("oom", "cuda" or "bug") stand for `errors_at_steps`. A step "now"
    is the next one.
    """
    last: list[float] = [0.0]

    def read(stand_in: StandIn) -> None:
        changed = path.stat().st_mtime if path.exists() else 0.0
        if changed == last[0]:
            return
        last[0] = changed
        values = json.loads(path.read_text() or "{}")
        values = {k: stand_in.step - 1 if v == "now" else v for k, v in values.items()}
        kind, at = values.pop("error", None), values.pop("error_at_step", None)
        if kind is not None and at is not None:
            stand_in.errors_at_steps[at] = error_of(kind)
        for name, value in values.items():
            setattr(stand_in, name, value)

    stand_in.on_step = read
    read(stand_in)


def error_of(kind: str) -> Exception:
    """An error as a device makes it."""
    if kind == "oom":
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if kind == "cuda":
        return RuntimeError("CUDA error: an illegal memory access was encountered")
    return ValueError("a bug")
