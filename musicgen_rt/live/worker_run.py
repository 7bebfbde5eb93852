"""Loads the model and runs the loop: the part of the worker that needs the engine's libraries."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import torch

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.live.conductor import Conductor
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.model_swap import Load, ModelSwap
from musicgen_rt.live.resume_file import ResumeFile
from musicgen_rt.live.stage import Stage
from musicgen_rt.live.worker_faults import Faults
from musicgen_rt.live.worker_heart import Heart
from musicgen_rt.live.worker_inbox import Inbox, Message
from musicgen_rt.live.worker_loop import WorkerLoop
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.live.worker_start import StartSettings, ready_facts, set_stage
from musicgen_rt.model.musicgen import MusicGen

# Of the whole start, reading the weights is the longest part.
_WEIGHTS_PART = 0.9
# Sharing less than this among threads gains little, even on a machine that has nothing else to do.
_WEIGHTS_A_THREAD = 8_000_000


def play(
    start: Message,
    waiting: Sequence[Message],
    inbox: Inbox,
    outbox: Outbox,
    heart: Heart,
    buffer: TimelineBuffer,
    load: Load | None,
) -> int:
    """From the start message to the exit code; `waiting` came together with it.

    Raises a MusicgenRTError if the model cannot be loaded.
    """
    begun = time.monotonic()
    settings = StartSettings.from_message(start)
    outbox.send("loading", fraction=0.0, text=f"loading {settings.model}")
    model = (load := load or MusicGen.load)(
        settings.model,
        device=settings.device,
        weights="fast" if settings.weights == "auto" else settings.weights,
        progress=lambda part, done, total: outbox.loading(part, _WEIGHTS_PART * done / total),
    )
    _set_threads(settings.threads, model)
    load_seconds = time.monotonic() - begun
    outbox.send("loading", fraction=_WEIGHTS_PART, text="the first notes")
    stage, is_resumed = set_stage(settings, Engine(model, settings.options), buffer, outbox)
    conductor = Conductor(stage, outbox)

    def announce(engine: Engine) -> None:
        _set_threads(settings.threads, engine.model)
        outbox.send(
            "ready",
            **ready_facts(stage, str(engine.model.device)),
            load_seconds=round(load_seconds, 3),
            first_audio_seconds=round(time.monotonic() - begun, 3),
            is_resumed=is_resumed,
        )

    faults = Faults(conductor, outbox, hears_collapse=settings.hears_collapse)
    swap = ModelSwap(conductor, outbox, load, announce)
    resume_file = _resume_file(settings, stage)

    def began() -> None:
        announce(stage.engine)

    loop = WorkerLoop(conductor, inbox, outbox, heart, faults, resume_file, swap, began)
    for message in waiting:
        loop.receive(message)
    return loop.run()


def useful_threads(weights: int, cores: int) -> int:
    """How many threads a step of so many weights is shared among: one core is left to others.

    Threads that wait for each other stall when another process takes a core of theirs, and
    playout, control and the host need one. A small model is fast enough on a single thread, which
    nobody can keep waiting.
    """
    return max(1, min(cores - 1, weights // _WEIGHTS_A_THREAD))


def _set_threads(asked: int | None, model: MusicGen) -> None:
    lm = model.lm
    weights = sum(tensor.numel() for tensor in (*lm.parameters(), *lm.buffers()))
    torch.set_num_threads(asked or useful_threads(weights, os.cpu_count() or 1))


def _resume_file(settings: StartSettings, stage: Stage) -> ResumeFile | None:
    return None if settings.resume_folder is None else ResumeFile(settings.resume_folder, stage)
