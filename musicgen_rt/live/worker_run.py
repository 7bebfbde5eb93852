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
    _set_threads(settings.threads)
    outbox.send("loading", fraction=0.0, text=f"loading {settings.model}")
    model = (load := load or MusicGen.load)(
        settings.model,
        device=settings.device,
        weights="fast" if settings.weights == "auto" else settings.weights,
        progress=lambda part, done, total: outbox.loading(part, _WEIGHTS_PART * done / total),
    )
    load_seconds = time.monotonic() - begun
    outbox.send("loading", fraction=_WEIGHTS_PART, text="the first notes")
    stage, is_resumed = set_stage(settings, Engine(model, settings.options), buffer, outbox)
    conductor = Conductor(stage, outbox)

    def announce(engine: Engine) -> None:
        outbox.send(
            "ready",
            **ready_facts(stage, str(engine.model.device)),
            load_seconds=round(load_seconds, 3),
            first_audio_seconds=round(time.monotonic() - begun, 3),
            is_resumed=is_resumed,
        )

    loop = WorkerLoop(
        conductor,
        inbox,
        outbox,
        heart,
        Faults(conductor, outbox, hears_collapse=settings.hears_collapse),
        _resume_file(settings, stage),
        ModelSwap(conductor, outbox, load, announce),
        lambda: announce(stage.engine),
    )
    for message in waiting:
        loop.receive(message)
    return loop.run()


def _set_threads(threads: int | None) -> None:
    """One core less than there are, unless a number is asked for.

    Threads that wait for each other stall when another process takes a core of theirs, and playout,
    control and the host need one.
    """
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) - 1))


def _resume_file(settings: StartSettings, stage: Stage) -> ResumeFile | None:
    return None if settings.resume_folder is None else ResumeFile(settings.resume_folder, stage)
