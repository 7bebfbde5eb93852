"""Infill of a recording: a stretch of an audio file made anew between the rest of it.

The rest stays sample by sample; the new stretch fades in and out over a few milliseconds. A model
of masked codes hears both sides of the hole, as many frames of each as its window has room for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from musicgen_rt.audio_input import Samples, read_audio
from musicgen_rt.contract.timeline import BPM_RANGE
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.block_stream import BlockStream
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.infill import require_infill
from musicgen_rt.live.masked_decoder import Rescorer
from musicgen_rt.live.rescorer import MusicGenRescorer, let_judge, require_rescorer
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.model.checkpoint import read_config
from musicgen_rt.model.hub import resolve
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.audio_file import AudioWriter

# Of a window at most this part is hole: the rest is what it has to fit to.
_LARGEST_HOLE = 0.8
_FADE_SECONDS = 0.02
_SECONDS_A_MINUTE = 60


@dataclass(frozen=True)
class Stretch:
    """The seconds from `first` to before `end`. Raises ParameterError unless they are in order."""

    first_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.first_seconds < self.end_seconds:
            raise ParameterError(
                f"a stretch from {self.first_seconds:g} to {self.end_seconds:g} s: expected one "
                "that begins at 0 or later and ends after that"
            )

    @classmethod
    def of_bars(cls, first: int, last: int, bpm: float, beats_per_bar: int) -> Stretch:
        """Bars `first` to `last`, counted from 1 and both included. Raises ParameterError."""
        low, high = BPM_RANGE
        if not low <= bpm <= high or not 1 <= first <= last or beats_per_bar < 1:
            raise ParameterError(
                f"bars {first} to {last} of {beats_per_bar} beats at {bpm:g} bpm: expected bars "
                f"from 1 up, in order, and {low:g} to {high:g} bpm"
            )
        bar = Fraction(beats_per_bar * _SECONDS_A_MINUTE) / Fraction(bpm)
        return cls(float((first - 1) * bar), float(last * bar))


@dataclass(frozen=True)
class InfillJob:
    """What to fill, with what. `parameters` are those of the engine, by name.

    `rescorer` is a MusicGen, by folder or hub id, whose opinion of what is made counts too.
    """

    model: str
    audio: Path
    out: Path
    stretch: Stretch
    prompt: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    rescorer: str | None = None
    device: str = "auto"
    weights: str = "auto"


def run_infill(job: InfillJob) -> Samples:
    """Fill, and write the whole recording at the model's rate to `job.out`: samples [C, N].

    What can be known to be wrong is told before the model loads. Raises AudioFileError,
    CheckpointError, ParameterError or UnsupportedError.
    """
    folder = resolve(job.model)
    config = read_config(folder)
    require_infill(config)
    samples = read_audio(job.audio, config.sampling_rate_hz, config.channels)
    rate_hz, hop = config.frame_rate_hz, config.hop_samples
    first = round(job.stretch.first_seconds * rate_hz)
    end = round(job.stretch.end_seconds * rate_hz)
    _check_hole(first, end, samples.shape[1] // hop, config.window_frames, rate_hz)
    if job.rescorer is not None:
        require_rescorer(read_config(resolve(job.rescorer)), job.rescorer, config)
    model = MusicGen.load(str(folder), device=job.device, weights=job.weights)
    rescorer = None
    if job.rescorer is not None:
        other = MusicGen.load(job.rescorer, device=job.device, weights=job.weights)
        rescorer = MusicGenRescorer(other, model.config, job.prompt)
    filled = fill_recording(model, samples, first, end, job.prompt, job.parameters, rescorer)
    with AudioWriter(job.out, config.sampling_rate_hz, config.channels) as writer:
        writer.write(filled)
    return filled


def fill_recording(
    model: MusicGen,
    samples: Samples,
    first_frame: int,
    end_frame: int,
    prompt: str | None,
    parameters: Mapping[str, float],
    rescorer: Rescorer | None = None,
) -> Samples:
    """Samples [C, N] with the frames from `first_frame` to before `end_frame` made anew."""
    engine = Engine(model, EngineOptions(text_capacity=model.text.default_capacity))
    stream = engine.session.stream
    assert isinstance(stream, BlockStream)  # require_infill has seen to it
    if rescorer is not None:
        let_judge(engine, rescorer)
    for name, value in parameters.items():
        engine.set_parameter(name, value)
    if prompt is not None:
        engine.set_prompt(prompt)
    hop = model.config.hop_samples
    frames = samples.shape[1] // hop
    window = _window(first_frame, end_frame, frames, model.config.window_frames)
    seen = np.ascontiguousarray(samples[:, window.start * hop : window.stop * hop])
    with torch.inference_mode():
        codes = model.codec.encode(torch.from_numpy(seen), drop_tail_frames=0).cpu().numpy()
        codes[:, first_frame - window.start : end_frame - window.start] = UNKNOWN
        made = stream.fill(codes, window.start, 0)
        sound = model.codec.decode(torch.from_numpy(made).to(model.device)).cpu().numpy()
    fade = round(_FADE_SECONDS * model.config.sampling_rate_hz)
    return _spliced(
        samples, sound, window.start * hop, range(first_frame * hop, end_frame * hop), fade
    )


def _check_hole(first: int, end: int, frames: int, window_frames: int, rate_hz: float) -> None:
    longest = int(_LARGEST_HOLE * window_frames)
    if end > frames or not 1 <= end - first <= longest or end - first == frames:
        raise ParameterError(
            f"a stretch from {first / rate_hz:g} to {end / rate_hz:g} s of {frames / rate_hz:g} s: "
            f"expected a part of it, {1 / rate_hz:g} to {longest / rate_hz:g} s long"
        )


def _window(first: int, end: int, frames: int, window_frames: int) -> range:
    """The frames that the model sees: the hole in their middle, as far as there is music."""
    size = min(window_frames, frames)
    start = first - (size - (end - first)) // 2
    start = min(max(start, 0), frames - size)
    return range(start, start + size)


def _spliced(
    samples: Samples, sound: Samples, sound_begins: int, hole: range, fade_samples: int
) -> Samples:
    """The samples with `sound` in the hole, faded outside of it where the two are alike."""
    gain = np.zeros(samples.shape[1], dtype=np.float32)
    gain[hole.start : hole.stop] = 1.0
    before = min(fade_samples, hole.start - sound_begins)
    after = min(fade_samples, sound_begins + sound.shape[1] - hole.stop)
    gain[hole.start - before : hole.start] = np.linspace(0, 1, before, dtype=np.float32)
    gain[hole.stop : hole.stop + after] = np.linspace(1, 0, after, dtype=np.float32)
    span = slice(sound_begins, min(sound_begins + sound.shape[1], samples.shape[1]))
    filled = samples.copy()
    share = gain[span]
    filled[:, span] = (1 - share) * samples[:, span] + share * sound[:, : len(share)]
    return filled
