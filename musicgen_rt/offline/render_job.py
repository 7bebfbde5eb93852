"""A render from files to files: checks, loads, renders, and writes the sidecar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from musicgen_rt.errors import ParameterError
from musicgen_rt.live import controls
from musicgen_rt.live.melody import Melody
from musicgen_rt.live.melody_file import MIDI_SUFFIXES, melody_from_file, read_midi_notes
from musicgen_rt.live.model_identity import model_identity
from musicgen_rt.live.rescorer import MusicGenRescorer, require_rescorer
from musicgen_rt.model.checkpoint import read_config
from musicgen_rt.model.chroma import ChromaExtractor, ChromaParameters
from musicgen_rt.model.config import ModelConfig
from musicgen_rt.model.hub import resolve
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.audio_file import AudioWriter, Samples, audio_info
from musicgen_rt.offline.given_frames import GivenFrames, read_end
from musicgen_rt.offline.recipe import Recipe
from musicgen_rt.offline.render import Rendered, render, settled
from musicgen_rt.offline.sidecar import (
    Sidecar,
    is_sidecar,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from musicgen_rt.offline.staged_files import StagedFiles, check_writable
from musicgen_rt.offline.token_file import check_token_path

# What may differ from a sidecar's recipe without another music.
_MUSICLESS = ("model", "chunk_frames", "loudness_lufs", "ceiling_dbtp")


class Listener(Protocol):
    """Hears how a job goes on."""

    def loading(self, part: str, done: int, total: int) -> None:
        """A part of the model is being loaded."""

    def rendering(self, done_seconds: float, total_seconds: float) -> None:
        """So much of the audio is there."""

    def note(self, text: str) -> None:
        """Something that the user should know and that is no error."""


@dataclass(frozen=True)
class Job:
    """What to render from and to.

    `values` are fields of Recipe: all of them without `from_sidecar`, else those to change. The
    mappings among them are merged with the sidecar's. Files to read override what it embeds.
    """

    audio: Path
    tokens: Path | None = None
    from_sidecar: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    melody: Path | None = None
    loops_melody: bool = True
    continued: Path | None = None
    may_replace: bool = True


def run_job(job: Job, listener: Listener) -> Rendered:
    """Render. What can be known to be wrong is told before the model loads.

    Raises MusicgenRTErrors: ParameterError, AudioFileError, CheckpointError, UnsupportedError.
    """
    source = None if job.from_sidecar is None else read_sidecar(job.from_sidecar)
    recipe = _draft(job, source)
    if recipe.song is not None and job.melody is not None:
        raise ParameterError("a melody is given beside a song, whose sections have their own")
    _check_outputs(job)
    _check_inputs(job)
    folder = resolve(recipe.model)
    config = read_config(folder)
    if Path(recipe.model).is_dir():
        recipe = replace(recipe, model=str(folder))
    if job.melody is not None:
        recipe = replace(recipe, melody=_melody(job.melody, job.loops_melody, config))
    _check_abilities(recipe, config)
    samples = None
    if job.continued is not None:
        samples = _continued(job.continued, _window_seconds(recipe, config), config, listener)
    with _processor_threads(recipe.threads), StagedFiles() as files:
        model = MusicGen.load(
            str(folder), device=recipe.device, weights=recipe.weights, progress=listener.loading
        )
        if samples is not None:
            recipe = replace(recipe, given=_encoded(samples, model))
        recipe = settled(recipe, model)
        identity = model_identity(model)
        if source is not None and not _is_same_model(source, recipe, identity):
            listener.note(f"{recipe.model} is not the checkpoint of {job.from_sidecar}")
        made = _render(recipe, model, identity, files, job, listener)
        files.commit()
    for text in _remarks(job, recipe, made, source):
        listener.note(text)
    return made


def _render(
    recipe: Recipe,
    model: MusicGen,
    identity: dict[str, Any],
    files: StagedFiles,
    job: Job,
    listener: Listener,
) -> Rendered:
    """Stage all files of the job."""
    rate_hz = model.config.sampling_rate_hz
    made = render(
        recipe,
        model,
        files,
        job.audio,
        job.tokens,
        rescorer=_rescorer(recipe, model),
        progress=lambda done, total: listener.rendering(done / rate_hz, total / rate_hz),
    )
    write_sidecar(files.stage(sidecar_path(job.audio)), recipe, identity, made)
    return made


def _rescorer(recipe: Recipe, model: MusicGen) -> MusicGenRescorer | None:
    """The recipe's, loaded as the model is. Raises UnsupportedError for one that cannot judge."""
    if recipe.rescorer is None:
        return None
    other = MusicGen.load(recipe.rescorer, device=recipe.device, weights=recipe.weights)
    return MusicGenRescorer(other, model.config, recipe.main_prompt)


def _draft(job: Job, source: Sidecar | None) -> Recipe:
    """The recipe without what lies in files still to be read."""
    if source is None:
        return Recipe(**job.values)
    values = dict(job.values)
    for name in ("parameters", "attributes"):
        values[name] = {**getattr(source.recipe, name), **values.get(name, {})}
    if values.keys() & {"prompts", "negative", "song"}:
        values["text_capacity"] = None  # that of the sidecar's own texts
    return replace(source.recipe, **values)


def _check_outputs(job: Job) -> None:
    """Raise ParameterError or AudioFileError for names that cannot be written, by trying."""
    sidecar = sidecar_path(job.audio)
    outputs = [path for path in (job.audio, job.tokens, sidecar) if path is not None]
    for path in outputs:
        if path.is_dir():
            raise ParameterError(f"{path} is a folder: expected the name of a file")
        if path.exists() and not job.may_replace:
            raise ParameterError(f"{path} exists: choose another name, or leave out --no-clobber")
    inputs = [path for path in (job.melody, job.continued) if path is not None]
    for path in inputs:
        if path.resolve() in map(Path.resolve, outputs):
            raise ParameterError(f"{path} would be replaced by what is made from it")
    if sidecar.exists() and not is_sidecar(sidecar):
        raise ParameterError(
            f"{sidecar}, where the sidecar goes, is another kind of file: choose another --out"
        )
    AudioWriter(job.audio, 32_000, 1).abort()
    if job.tokens is not None:
        check_token_path(job.tokens)
        check_writable(job.tokens)


def _check_inputs(job: Job) -> None:
    """Open the files to read before anything slow begins. Raises AudioFileError."""
    if job.melody is not None and job.melody.suffix.lower() in MIDI_SUFFIXES:
        read_midi_notes(job.melody)
    elif job.melody is not None:
        audio_info(job.melody)
    if job.continued is not None:
        audio_info(job.continued)


def _window_seconds(recipe: Recipe, config: ModelConfig) -> float:
    """The window that the engine will have."""
    own_seconds = config.window_frames / config.frame_rate_hz
    return own_seconds if recipe.window_seconds is None else recipe.window_seconds


def _continued(
    path: Path, longest_seconds: float, config: ModelConfig, listener: Listener
) -> Samples:
    """The audio to continue [C, N] as this checkpoint takes it: what fits into the window."""
    info = audio_info(path)
    seconds = info.num_samples / info.sample_rate_hz
    if seconds > longest_seconds:
        listener.note(
            f"{path} lasts {seconds:.1f} s: its last {longest_seconds:g} s, which is the window, "
            "are continued"
        )
    return read_end(path, config.sampling_rate_hz, config.channels, longest_seconds)


def _encoded(samples: Samples, model: MusicGen) -> GivenFrames:
    """The frames of audio [C, N]. Raises ParameterError if it is too short for one."""
    with torch.inference_mode():
        codes = model.codec.encode(torch.from_numpy(np.ascontiguousarray(samples)))
    return GivenFrames.of(codes.cpu().numpy())


def _is_same_model(source: Sidecar, recipe: Recipe, identity: dict[str, Any]) -> bool:
    """Whether the model is the sidecar's, as far as that can be said in other weights."""
    return recipe.weights != source.recipe.weights or identity == source.model


def _melody(path: Path, loops: bool, config: ModelConfig) -> Melody:
    parameters = None
    if config.chroma is not None:
        shape = config.chroma
        parameters = ChromaParameters(shape.sampling_rate_hz, shape.n_fft, shape.hop_samples)
    return melody_from_file(path, loop=loops, extractor=ChromaExtractor(parameters))


def _check_abilities(recipe: Recipe, config: ModelConfig) -> None:
    """Raise UnsupportedError now for what the engine would refuse once it is loaded."""
    if recipe.melody is not None:
        controls.require_melody(recipe.melody, config)
    if recipe.rescorer is not None:
        require_rescorer(read_config(resolve(recipe.rescorer)), recipe.rescorer, config)
    attributes = [recipe.attributes]
    if recipe.song is not None:
        attributes += [section.attributes for section in recipe.song.sections]
        if any(section.melody is not None for section in recipe.song.sections):
            controls.require_melody_ability(config)
    for asked in attributes:
        for name, is_on in asked.items():
            controls.attribute_edits(name, is_on, config)


@contextlib.contextmanager
def _processor_threads(threads: int | None) -> Iterator[None]:
    """Run on so many threads: sums round differently on another number of them."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _remarks(job: Job, recipe: Recipe, made: Rendered, source: Sidecar | None) -> Iterator[str]:
    """What the user should hear about a finished render."""
    done = made.normalisation
    if done is not None and done.is_limited_by_ceiling:
        yield (
            f"loudness is {done.output.integrated_lufs:.1f} LUFS, not {recipe.loudness_lufs:g}: "
            f"its peaks reach the ceiling of {recipe.ceiling_dbtp:g} dBTP"
        )
    if done is None and job.audio.suffix.lower() == ".flac" and made.peak_dbfs > 0:
        yield (
            f"peaks of {made.peak_dbfs:+.1f} dBFS are clipped in FLAC: use --loudness, or a .wav "
            "file, which keeps them"
        )
    if source is None:
        return
    same = {name: getattr(source.recipe, name) for name in _MUSICLESS}
    if replace(recipe, **same) != source.recipe:
        return
    if made.tokens_sha256 != source.tokens_sha256:
        yield (
            "the tokens are not those of the sidecar: another processor or torch release rounds "
            "differently"
        )
    elif made.samples_sha256 != source.samples_sha256:
        yield "the tokens are those of the sidecar, the samples differ by rounding"
