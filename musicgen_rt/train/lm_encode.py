"""Encodes clips with a trained codec into shards that the language model learns from.

Clips are made and encoded in worker processes, a shard at a time; a run that was stopped goes on
with the first shard that is missing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from musicgen_rt.errors import MusicgenRTError, ParameterError
from musicgen_rt.model.codec_frames import ENCODER_LOOKAHEAD_FRAMES, FrameDecoder
from musicgen_rt.model.hub import resolve
from musicgen_rt.train import checkpointing
from musicgen_rt.train.clip_sources import (
    SourceClip,
    Tracked,
    audio_pieces,
    generated,
    piece_name,
    read_piece,
)
from musicgen_rt.train.config import config_table, require_range
from musicgen_rt.train.lm_foundation import load_frame_decoder
from musicgen_rt.train.lm_records import ClipRecord, shard_names, write_shard
from musicgen_rt.train.run_loop import StopRequest

# What may differ between the runs that fill one folder.
_FREE_KEYS = ("clips", "workers", "device")


@dataclass(frozen=True)
class EncodeConfig:
    """What to encode into `folder`, with the codec in the folder `codec` (or a whole checkpoint).

    Without `audio` the generator makes `clips` clips from `first_seed` on; with it the files of
    that folder are cut into pieces of `clip_seconds`, and `clips` 0 takes them all. Where nothing
    beside a file says them, `tracks_beats` and `tracks_melody` listen for beats and for the
    strongest pitch class.
    """

    folder: str
    codec: str
    audio: str = ""
    clips: int = 0
    first_seed: int = 0
    clip_seconds: float = 30.0
    captions_per_clip: int = 32
    held_out_captions: bool = False
    tracks_beats: bool = False
    tracks_melody: bool = False
    clips_per_shard: int = 32
    workers: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        require_range("clips", self.clips, 0 if self.audio else 1, 10_000_000)
        require_range("first_seed", self.first_seed, 0, 1 << 40)
        require_range("clip_seconds", self.clip_seconds, 0.5, 600.0)
        require_range("captions_per_clip", self.captions_per_clip, 0, 1000)
        require_range("clips_per_shard", self.clips_per_shard, 1, 10_000)
        require_range("workers", self.workers, 0, 256)


@dataclass(frozen=True)
class ClipJob:
    """One clip to make and encode: a seed of the generator, or a piece of an audio file."""

    config: EncodeConfig
    seed: int = 0
    path: Path | None = None
    start_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The clip's name, before there is a clip."""
        if self.path is None:
            return str(self.seed)
        return piece_name(self.path, self.start_seconds)


def encode_clips(config: EncodeConfig, report: Callable[[str], None] = print) -> None:
    """Writes the shards that are missing; a stop signal ends it after the present one.

    A shard that is damaged, or of other files than those of now, is written anew. Raises
    ParameterError if the folder was begun with another configuration, and what `encode_clip` does.
    """
    folder = Path(config.folder)
    jobs = clip_jobs(config)
    checkpointing.open_run(folder, config_table(config), _FREE_KEYS)
    size = config.clips_per_shard
    shards = [jobs[first : first + size] for first in range(0, len(jobs), size)]
    done, seconds, began = 0, 0.0, time.monotonic()
    with StopRequest() as stop, _runner(config) as run:
        for index, shard in enumerate(shards):
            path = folder / f"shard-{index:05}.safetensors"
            if shard_names(path) != [job.name for job in shard]:
                write_shard(path, list(run(shard)))
                seconds += len(shard) * config.clip_seconds
            done += len(shard)
            speed = seconds / (time.monotonic() - began)
            report(f"encoded {done} of {len(jobs)} clips, {speed:.1f} x real time")
            if stop.asked:
                report("stopped; the same command goes on from here")
                return


def clip_jobs(config: EncodeConfig) -> list[ClipJob]:
    """All clips, in order."""
    if not config.audio:
        seeds = range(config.first_seed, config.first_seed + config.clips)
        return [ClipJob(config, seed) for seed in seeds]
    pieces = audio_pieces(Path(config.audio), config.clip_seconds)
    chosen = pieces[: config.clips or None]
    return [ClipJob(config, path=path, start_seconds=start) for path, start in chosen]


def encode_clip(job: ClipJob) -> ClipRecord:
    """Makes a clip and encodes it. Its last frames, coded with silence in view, are left out.

    Raises AudioFileError or ParameterError for a file that cannot be used, with its name.
    """
    config = job.config
    decoder = _decoder(config.codec, config.device)
    clip = _source(job, decoder)
    samples = torch.from_numpy(np.ascontiguousarray(clip.samples))
    try:
        codes = decoder.encode(samples, ENCODER_LOOKAHEAD_FRAMES).cpu().numpy().astype(np.uint16)
    except ParameterError as error:
        raise ParameterError(f"{job.path or job.name}: {error}") from error
    tracked = Tracked(config.tracks_beats, config.tracks_melody)
    truth = clip.frame_truth(codes.shape[1], decoder.frame_rate_hz, tracked)
    return ClipRecord(clip.name, codes, truth, clip.captions, clip.facts)


def _source(job: ClipJob, decoder: FrameDecoder) -> SourceClip:
    config, rate_hz = job.config, decoder.sample_rate_hz
    if job.path is not None:
        return read_piece(
            job.path, job.start_seconds, config.clip_seconds, rate_hz, decoder.channels
        )
    if decoder.channels != 1:
        raise ParameterError("the generator is mono and the codec's checkpoint stereo: name audio")
    return generated(
        job.seed,
        config.clip_seconds,
        rate_hz,
        config.captions_per_clip,
        held_out=config.held_out_captions,
    )


@lru_cache(maxsize=1)
def _decoder(codec: str, device: str) -> FrameDecoder:
    """Each process loads the codec once."""
    return load_frame_decoder(resolve(codec), torch.device(device))


@contextmanager
def _runner(config: EncodeConfig) -> Iterator[Callable[[list[ClipJob]], Iterator[ClipRecord]]]:
    """Runs jobs in order, in processes of their own or in this one."""
    if config.workers == 0:
        yield lambda jobs: map(encode_clip, jobs)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(config.workers, context, initializer=_start_worker) as pool:
            yield lambda jobs: pool.map(encode_clip, jobs)
    except BrokenProcessPool as error:
        raise MusicgenRTError(
            f"one of {config.workers} worker processes died, for want of memory perhaps; set "
            "workers lower, and the same command goes on from here"
        ) from error


def _start_worker() -> None:
    """Workers share the cores, and leave Ctrl-C to the process that started them."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
