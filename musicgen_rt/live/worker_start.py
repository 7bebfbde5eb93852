"""From control's first message to an engine on its stage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.command import Command
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import CheckpointError, MusicgenRTError, ParameterError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.controls import parameter_edits
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody_state import MelodyState
from musicgen_rt.live.pace import DEFAULT_LEAD_MS
from musicgen_rt.live.player import Clock
from musicgen_rt.live.resume_file import kept_take
from musicgen_rt.live.score import PARAMETERS
from musicgen_rt.live.session import Session
from musicgen_rt.live.stage import Stage
from musicgen_rt.live.worker_commands import prepare
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.model.musicgen import MusicGen


@dataclass(frozen=True)
class StartSettings:
    """What the first message says, checked."""

    model: str
    timeline: Timeline
    device: str = "auto"
    weights: str = "auto"
    threads: int | None = None
    options: EngineOptions = field(default_factory=EngineOptions)
    hears_collapse: bool = True
    seed: int = 0
    lead_ms: int = DEFAULT_LEAD_MS
    context_bars: int | None = None
    is_locked: bool = True
    asks_tempo: bool = True
    state: tuple[Command, ...] = ()
    resume_folder: Path | None = None
    is_resume: bool = False

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> StartSettings:
        """Raises ParameterError naming what is missing or wrong."""
        try:
            options = dict(message.get("options") or {})
            lead = message.get("lead") or {}
            folder = message.get("resume_folder")
            return cls(
                model=str(message["model"]),
                timeline=Timeline.from_json(message["timeline"]),
                device=message.get("device") or "auto",
                weights=message.get("weights") or "auto",
                threads=message.get("threads"),
                hears_collapse=bool(options.pop("hears_collapse", True)),
                options=EngineOptions(**options),
                seed=int(message.get("seed") or 0),
                lead_ms=round(lead.get("lead_ms") or DEFAULT_LEAD_MS),
                context_bars=lead.get("context_bars"),
                is_locked=bool(lead.get("lock", True)),
                asks_tempo=bool(lead.get("ask_tempo", True)),
                state=tuple(Command.from_json(one) for one in message.get("state") or ()),
                resume_folder=None if folder is None else Path(folder),
                is_resume=bool(message.get("is_resume")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ParameterError(f"the start message: {error!r}") from error


def set_stage(
    settings: StartSettings,
    engine: Engine,
    buffer: TimelineBuffer,
    outbox: Outbox,
    clock: Clock = time.monotonic,
) -> tuple[Stage, bool]:
    """The engine on its stage, about to play; whether it goes on from what another process left.

    Raises CheckpointError if the buffer is not made for this model.
    """
    require_buffer(buffer, engine.model)
    stage = Stage(engine, buffer, settings.timeline, clock)
    stage.player.pace.set_lead(settings.lead_ms)
    stage.player.beats.is_on = settings.is_locked
    stage.asks_tempo = settings.asks_tempo
    frame = stage.player.first_bar()
    song_usual = _resume(settings, stage, frame, outbox) if settings.is_resume else None
    if song_usual is None:
        session = Session(engine.model, engine.options, engine.parts)
        stage.begin(session, 0, frame, MelodyState())
        stage.player.apply(parameter_edits("seed", settings.seed, 0), frame)
    if settings.context_bars is not None:
        stage.player.apply(parameter_edits("context_bars", settings.context_bars, 0), frame)
    stream_frame = stage.player.stream_frame_of(frame)
    resumed = stage.melody.at(stream_frame)
    with stage.song.resuming(song_usual or {}):
        for command in settings.state:
            try:
                prepare(command, stage).run(frame)
            except MusicgenRTError as error:
                outbox.error("state", f"{command.name}: {error}", frame)
    # A file is begun by its command; one that was playing goes on.
    stage.melody.change(stream_frame, lambda state: state.with_file_of(resumed))
    stage.melody.tell()
    return stage, song_usual is not None


def _resume(
    settings: StartSettings, stage: Stage, frame: int, outbox: Outbox
) -> Mapping[str, float] | None:
    """Go on from what the process before left, if it did: the numbers of before its song."""
    if settings.resume_folder is None:
        return None
    try:
        kept = kept_take(settings.resume_folder)
        if kept is None:
            return None
        session, stream_frame, melody = stage.session_of(kept)
        song_usual = _checked_numbers(kept.extra.get("song_usual", {}))
    except MusicgenRTError as error:
        outbox.error("resume", str(error), frame)
        return None
    stage.begin(session, stream_frame, frame, melody)
    return song_usual


def _checked_numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not value.keys() <= PARAMETERS.keys():
        raise CheckpointError(f"the take is damaged: {value!r} are no numbers by name")
    return {name: PARAMETERS[name].check(name, number) for name, number in value.items()}


def require_buffer(buffer: TimelineBuffer, model: MusicGen) -> None:
    """Raise CheckpointError unless the buffer has the model's rate and channels."""
    found = (buffer.rate_hz, buffer.channels)
    expected = (model.config.sampling_rate_hz, model.config.channels)
    if found != expected:
        raise CheckpointError(
            f"the buffer has {found[0]} Hz and {found[1]} channels: the model {model.source} makes "
            f"{expected[0]} Hz and {expected[1]}; make the buffer as the checkpoint's config says"
        )


def ready_facts(stage: Stage, device: str) -> dict[str, Any]:
    """What control is told about the model that plays."""
    model = stage.engine.model
    config, conditioning = model.config, model.config.frame_conditioning
    return {
        "model": model.source,
        "device": device,
        "weights": model.weight_format.value,
        "sampling_rate_hz": config.sampling_rate_hz,
        "hop_samples": config.hop_samples,
        "frame_rate_hz": config.frame_rate_hz,
        "channels": config.channels,
        "num_codebooks": config.lm.num_codebooks,
        "vocab_size": config.lm.vocab_size,
        "attributes": list(conditioning.attributes) if conditioning else [],
        "has_clock": conditioning is not None and conditioning.clock is not None,
        "has_chroma": conditioning is not None and conditioning.chroma,
        "has_melody": config.kind == "melody",
        "params": stage.controls()["params"],
    }
