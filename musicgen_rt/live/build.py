"""Options of an engine, and putting its parts together."""

from __future__ import annotations

from dataclasses import dataclass

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.conditioning import ModelAbilities, RowBias
from musicgen_rt.live.implied_attributes import ImpliedAttributes
from musicgen_rt.live.row_conditions import RowConditions
from musicgen_rt.live.slots import SlotPool
from musicgen_rt.live.stepper import Stepper
from musicgen_rt.live.token_stream import StreamParts
from musicgen_rt.live.window import WindowPlan
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.native_step import native_step

# On a CPU a whole window's prefill takes seconds; a chunk of this size does not stall the music.
_CPU_PREFILL_CHUNK_FRAMES = 64
# 12 of 30 seconds, the part that the reference keeps.
_CONTEXT_PART = 0.4


@dataclass(frozen=True)
class EngineOptions:
    """What is fixed for a session's life, and part of what a replay needs.

    The window is the model's memory; a roll keeps `context_seconds` of it. Shorter ones are faster
    on a CPU; None is the window that the checkpoint was made for, and the part of
    it that the checkpoint names, or two fifths.
    `text_capacity` is the longest prompt in tokens; None gives 64, which hold some 250 characters,
    or as many tokens to a model that reads bytes. `history_seconds` is how far a rollback can
    reach. `compile_step` uses a step compiled for this CPU where there is a compiler; else torch's
    operators make it. `prefill_chunk_frames` is how much of a coming window is read at a time; None
    chooses: small chunks on a CPU, all at once elsewhere.
    """

    window_seconds: float | None = None
    context_seconds: float | None = None
    history_seconds: float = 120.0
    text_capacity: int | None = None
    compile_step: bool = True
    prefill_chunk_frames: int | None = None

    def __post_init__(self) -> None:
        if self.window_seconds is not None:
            _in_range("window_seconds", self.window_seconds, 1.0, 600.0)
        if self.context_seconds is not None:
            longest = 600.0 if self.window_seconds is None else self.window_seconds
            _in_range("context_seconds", self.context_seconds, 0.4, longest)
        _in_range("history_seconds", self.history_seconds, 1.0, 86_400.0)
        if self.text_capacity is not None:
            _whole("text_capacity", self.text_capacity, 1, 512)
        if self.prefill_chunk_frames is not None:
            _whole("prefill_chunk_frames", self.prefill_chunk_frames, 1, 1_000_000)
        if not isinstance(self.compile_step, bool):
            raise ParameterError(f"compile_step is {self.compile_step!r}: expected True or False")

    def settled(self, model: MusicGen) -> SettledOptions:
        """The options with every choice that was left open made, as for this model."""
        config = model.config
        prefix_frames = 0 if config.chroma is None else config.chroma.chroma_length
        capacity = self.text_capacity or model.text.default_capacity
        # A prefix takes positions from the window, where they are few.
        most_frames = config.lm.max_positions - (prefix_frames + capacity if prefix_frames else 0)
        own_seconds = min(config.window_frames, most_frames) / config.frame_rate_hz
        window_seconds = own_seconds if self.window_seconds is None else self.window_seconds
        context_seconds = self.context_seconds
        if context_seconds is None:
            part = _CONTEXT_PART
            if config.context_frames is not None:
                part = config.context_frames / config.window_frames
            context_seconds = max(0.4, part * window_seconds)
        return SettledOptions(
            window_seconds=window_seconds,
            context_seconds=context_seconds,
            history_seconds=self.history_seconds,
            text_capacity=capacity,
            compile_step=self.compile_step,
            prefill_chunk_frames=self.prefill_chunk_frames,
        )


@dataclass(frozen=True, kw_only=True)
class SettledOptions(EngineOptions):
    """Options of which none is open."""

    window_seconds: float
    context_seconds: float
    text_capacity: int


def _in_range(name: str, value: float, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}: expected {low:g} to {high:g}")


def _whole(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int):
        raise ParameterError(f"{name} is {value!r}: expected a whole number, {low} to {high}")
    _in_range(name, value, low, high)


def history_frames(model: MusicGen, options: SettledOptions) -> int:
    """Frames that can be returned to."""
    return round(options.history_seconds * model.config.frame_rate_hz)


def keep_frames(model: MusicGen, options: SettledOptions) -> int:
    """Frames that the engine remembers: what can be returned to, and the window before that."""
    window = round(options.window_seconds * model.config.frame_rate_hz)
    return history_frames(model, options) + window


def build_parts(model: MusicGen, options: SettledOptions) -> StreamParts:
    """What a session's streams need. Raises ParameterError if the window does not fit the model."""
    config = model.config
    prefix_frames = 0
    if config.chroma is not None:
        prefix_frames = config.chroma.chroma_length + options.text_capacity
    plan = _window_plan(model, options, prefix_frames)
    stepper = Stepper(model.lm, native_step(model.lm) if options.compile_step else None)
    text_capacity = options.text_capacity if config.kind == "text" else None
    chunk_frames = options.prefill_chunk_frames
    if chunk_frames is None and model.device.type == "cpu":
        chunk_frames = _CPU_PREFILL_CHUNK_FRAMES
    return StreamParts(
        stepper,
        RowConditions(config, model.lm, model.text, options.text_capacity),
        RowBias(model.conditioner, implied_attributes(model), model.device),
        ModelAbilities(config.kind, config.frame_conditioning),
        plan,
        SlotPool(stepper, plan.capacity_frames + prefix_frames, text_capacity),
        chunk_frames,
    )


def implied_attributes(model: MusicGen) -> ImpliedAttributes:
    """What prompts ask of the model's attribute conditioners."""
    conditioning = model.config.frame_conditioning
    names = () if conditioning is None else conditioning.attributes
    return ImpliedAttributes(model.text_attributes, names)


def _window_plan(model: MusicGen, options: SettledOptions, prefix_frames: int) -> WindowPlan:
    config = model.config
    window_frames = round(options.window_seconds * config.frame_rate_hz)
    longest = config.lm.max_positions - prefix_frames
    if window_frames > longest:
        raise ParameterError(
            f"a window of {options.window_seconds} s is {window_frames} frames: this checkpoint "
            f"has positions for {longest} ({longest / config.frame_rate_hz:.1f} s)"
        )
    context_frames = round(options.context_seconds * config.frame_rate_hz)
    # Whole bars may leave little more than half of the context, and a diagonal must fit.
    shortest = 2 * (max(config.lm.delays) + 1)
    if context_frames < shortest:
        raise ParameterError(
            f"a context of {options.context_seconds} s is {context_frames} frames: expected "
            f"{shortest} frames or more for this checkpoint"
        )
    return WindowPlan(window_frames, context_frames)
