"""Renders a recipe to files: any length in flat memory, and nothing half-written left behind."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from musicgen_rt.errors import AudioFileError
from musicgen_rt.live.asked_tempo import is_told_beats, tempo_words, with_words
from musicgen_rt.live.chunk import Chunk
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.masked_decoder import Rescorer
from musicgen_rt.live.rescorer import let_judge
from musicgen_rt.live.song_plan import PlacedSection
from musicgen_rt.live.song_play import SongPlayer
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.audio_file import AudioWriter, Samples
from musicgen_rt.offline.loudness import SILENCE_DB, Normalisation, normalise_file
from musicgen_rt.offline.recipe import NUMBERS, Recipe, text_capacity_for
from musicgen_rt.offline.staged_files import StagedFiles
from musicgen_rt.offline.token_file import TokenWriter

Codes = npt.NDArray[np.int64]
"""Undelayed codes [K, T]."""
Progress = Callable[[int, int], None]
"""Called with the new samples done and to do."""
Step = Callable[[], Chunk]
"""Makes the next frames of the stream."""

# float32: what is louder than full scale survives until its gain is known.
_RAW_SUFFIX = ".wav"
_RAW_BYTES = 4
_FLAC_BYTES_AT_LEAST = 1


@dataclass(frozen=True)
class Extent:
    """Which samples of the stream are wanted: [first_sample, end_sample); frames cover them.

    `new_sample` is where the new audio begins. It and `first_sample` lie between frames.
    """

    first_sample: int
    new_sample: int
    end_sample: int
    hop_samples: int

    @property
    def num_samples(self) -> int:
        return self.end_sample - self.first_sample

    @property
    def given_samples(self) -> int:
        return self.new_sample - self.first_sample

    @property
    def first_frame(self) -> int:
        return self.first_sample // self.hop_samples

    @property
    def end_frame(self) -> int:
        return -(-self.end_sample // self.hop_samples)

    @property
    def num_frames(self) -> int:
        return self.end_frame - self.first_frame


@dataclass(frozen=True)
class Rendered:
    """What a render made.

    `given_samples` of the `num_samples` are the audio that was continued. `frames` is the T of the
    token file. Hashes are of all tokens (int64, frame by frame) and of all samples (float32,
    interleaved) as the model made them, and so is `peak_dbfs`. `took_seconds` leaves out loading.
    `sections` are a song's, their frames counted from the first sample of the audio.
    """

    sample_rate_hz: int
    channels: int
    num_samples: int
    given_samples: int
    frames: int
    windows_rolled: int
    tokens_sha256: str
    samples_sha256: str
    peak_dbfs: float
    took_seconds: float
    normalisation: Normalisation | None
    sections: tuple[PlacedSection, ...] = ()

    @property
    def new_seconds(self) -> float:
        """Length of the new audio."""
        return (self.num_samples - self.given_samples) / self.sample_rate_hz


def settled(recipe: Recipe, model: MusicGen) -> Recipe:
    """The recipe with every choice that was left open made, as for this model on this machine.

    Raises PromptError for a prompt that the text encoder cannot take.
    """
    capacity = recipe.text_capacity
    if capacity is None:
        words = _words(recipe, model)
        texts = (with_words(text, words) for text in recipe.texts)
        lengths = [model.text.encode(text).shape[0] for text in texts]
        capacity = text_capacity_for(max(lengths, default=0))
    options = replace(recipe, text_capacity=capacity).engine_options().settled(model)
    return replace(
        recipe,
        bpm=_tempo(recipe, model),
        device=str(model.device),
        weights=model.weight_format.value,
        window_seconds=options.window_seconds,
        context_seconds=options.context_seconds,
        text_capacity=options.text_capacity,
        threads=torch.get_num_threads(),
    )


def _tempo(recipe: Recipe, model: MusicGen) -> float | None:
    """The tempo asked for, or for a model with a clock the one that its main prompt asks for."""
    conditioning, reader = model.config.frame_conditioning, model.text_attributes
    has_clock = conditioning is not None and conditioning.clock is not None
    main = recipe.main_prompt
    if recipe.bpm is not None or not has_clock or reader is None or main is None:
        return recipe.bpm
    bpm: float = reader.predict(main)["bpm"]
    return bpm


def _words(recipe: Recipe, model: MusicGen) -> str | None:
    """The tempo as prompts ask for it; None where it is not known, or the model is told."""
    if recipe.bpm is None or not recipe.asks_tempo or is_told_beats(model.config):
        return None
    return tempo_words(recipe.bpm, recipe.beats_per_bar or int(NUMBERS["beats_per_bar"].default))


def begin(recipe: Recipe, model: MusicGen) -> Engine:
    """An engine under the recipe's controls, about to make the first new frame.

    Raises what the engine's controls raise, UnsupportedError among them.
    """
    recipe = settled(recipe, model)
    engine = Engine(model, recipe.engine_options())
    if recipe.given is not None:
        engine.continue_codes(recipe.given.codes)
    for name, value in recipe.parameters.items():
        engine.set_parameter(name, value)
    words = _words(recipe, model)
    for slot, prompt in enumerate(recipe.prompts):
        engine.set_prompt(with_words(prompt.text, words), slot, weight=prompt.weight)
    if recipe.negative is not None:
        engine.set_negative_prompt(recipe.negative)
    if recipe.melody is not None:
        engine.set_melody(recipe.melody)
    for name, is_on in recipe.attributes.items():
        engine.set_attribute(name, is_on)
    if recipe.bpm is not None:
        engine.set_tempo(recipe.bpm, recipe.beats_per_bar)
    return engine


def render(
    recipe: Recipe,
    model: MusicGen,
    files: StagedFiles,
    audio: Path,
    tokens: Path | None = None,
    *,
    rescorer: Rescorer | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Rendered:
    """Render to an audio file (.wav, .flac) and, if wanted, the tokens [K, T] to a .npy file.

    The audio holds exactly round(seconds * rate) new samples, after what was given if the recipe
    includes that. `rescorer` is the recipe's, loaded. The files are complete and staged:
    `files.commit()` gives them their names.
    Raises AudioFileError, NonFiniteError, UnsupportedError and what the engine's controls raise.
    """
    started = clock()
    engine = begin(recipe, model)
    if rescorer is not None:
        let_judge(engine, rescorer)
    song = None if recipe.song is None else SongPlayer(recipe.song, engine)
    extent = _extent(recipe, engine, song)
    config = model.config
    is_raw = recipe.loudness_lufs is not None
    _check_room(audio, extent.num_samples * config.channels, is_raw=is_raw)
    final = files.stage(audio)
    first = files.scratch(audio, _RAW_SUFFIX) if is_raw else final
    token_file = None if tokens is None else files.stage(tokens)
    step = partial((song or engine).step, recipe.chunk_frames)
    tally = _stream(engine, extent, step, first, token_file, progress)
    return Rendered(
        sample_rate_hz=config.sampling_rate_hz,
        channels=config.channels,
        num_samples=tally.num_samples,
        given_samples=extent.given_samples,
        frames=extent.num_frames,
        windows_rolled=engine.windows_rolled,
        tokens_sha256=tally.tokens.hexdigest(),
        samples_sha256=tally.samples.hexdigest(),
        peak_dbfs=tally.peak_dbfs,
        took_seconds=clock() - started,
        normalisation=_normalised(first, final, recipe),
        sections=() if song is None else song.plan.sections_from(extent.first_frame),
    )


def _stream(
    engine: Engine,
    extent: Extent,
    step: Step,
    audio: Path,
    tokens: Path | None,
    progress: Progress | None,
) -> _Tally:
    """Make the wanted part of the stream and write it as it comes."""
    config = engine.model.config
    new_samples = extent.num_samples - extent.given_samples
    report = progress or (lambda done, total: None)
    tally = _Tally()
    with ExitStack() as stack:
        rate_hz, channels = config.sampling_rate_hz, config.channels
        writer = stack.enter_context(
            AudioWriter(audio, rate_hz, channels, expected_samples=extent.num_samples)
        )
        token_writer = None
        if tokens is not None:
            lm = config.lm
            token_writer = stack.enter_context(
                TokenWriter(tokens, lm.num_codebooks, extent.num_frames, lm.vocab_size)
            )
        report(0, new_samples)
        for samples, codes in _pieces(engine, extent, step):
            writer.write(samples)
            if token_writer is not None:
                token_writer.write(codes)
            tally.add(samples, codes)
            report(max(0, tally.num_samples - extent.given_samples), new_samples)
    return tally


def _normalised(raw: Path, final: Path, recipe: Recipe) -> Normalisation | None:
    if recipe.loudness_lufs is None:
        return None
    return normalise_file(raw, final, recipe.loudness_lufs, recipe.ceiling_dbtp)


def _extent(recipe: Recipe, engine: Engine, song: SongPlayer | None) -> Extent:
    """What to write of an engine's stream that has not begun to make frames."""
    config = engine.model.config
    begins = engine.next_frame * config.hop_samples
    new_samples = max(1, round(recipe.seconds * config.sampling_rate_hz))
    if song is not None:
        new_samples = (song.plan.end_frame - song.plan.first_frame) * config.hop_samples
    return Extent(
        first_sample=0 if recipe.includes_given else begins,
        new_sample=begins,
        end_sample=begins + new_samples,
        hop_samples=config.hop_samples,
    )


def _pieces(engine: Engine, extent: Extent, step: Step) -> Iterator[tuple[Samples, Codes]]:
    """The wanted samples [C, n] with the wanted codes [K, m] in order; n and m need not match."""
    written_frame = extent.first_frame
    while (at := engine.next_sample) < extent.end_sample:
        chunk = step()
        wanted = slice(max(extent.first_sample - at, 0), extent.end_sample - at)
        end_frame = min(max(chunk.end_frame, written_frame), extent.end_frame)
        yield chunk.samples[:, wanted], engine.codes(written_frame, end_frame)
        written_frame = end_frame


class _Tally:
    """What can be said of a render's samples and tokens as they pass."""

    def __init__(self) -> None:
        self.num_samples = 0
        self.tokens = hashlib.sha256()
        self.samples = hashlib.sha256()
        self._peak = 0.0

    def add(self, samples: Samples, codes: Codes) -> None:
        """The next samples [C, n] and codes [K, m]."""
        self.num_samples += samples.shape[1]
        self.samples.update(samples.T.astype("<f4").tobytes())
        self.tokens.update(codes.T.astype("<i8").tobytes())
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))

    @property
    def peak_dbfs(self) -> float:
        return 20 * math.log10(self._peak) if self._peak > 0 else SILENCE_DB


def _check_room(audio: Path, num_values: int, *, is_raw: bool) -> None:
    """Raise AudioFileError if the audio surely does not fit on the disk of its folder."""
    is_flac = audio.suffix.lower() == ".flac"
    needed = num_values * (_FLAC_BYTES_AT_LEAST if is_flac else _RAW_BYTES)
    if is_raw:
        needed += num_values * _RAW_BYTES
    free = shutil.disk_usage(audio.absolute().parent).free
    if free < needed:
        raise AudioFileError(
            f"{audio} needs {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are free: make room, "
            "choose another disk or fewer seconds"
        )
