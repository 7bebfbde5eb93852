"""From the score to the model: which rows a batch has and how their logits are mixed, by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.asked_tempo import TEMPO_WORDS, with_words
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.sampling import SamplingParameters
from musicgen_rt.live.score import NUM_SLOTS, Score
from musicgen_rt.model.config import FrameConditioningConfig, Kind
from musicgen_rt.model.frame_conditioning import (
    NO_CONDITIONS,
    AttributeStates,
    FrameConditioner,
    FrameConditions,
)

# Changes of these make other rows or another prefix.
STRUCTURE_KEYS = ("prompt/", "weight/", "negative", "melody", "cfg", TEMPO_WORDS)


@dataclass(frozen=True)
class Row:
    """One row of the batch: what it is conditioned on.

    `text` None is the null prompt. `melody` is for melody checkpoints; `is_conditioned` says
    whether the row takes the frame conditions or their nulls.
    """

    name: str
    text: str | None
    melody: PlacedMelody | None
    is_conditioned: bool


@dataclass(frozen=True)
class Situation:
    """All that a step depends on besides the tokens, at one frame."""

    rows: tuple[Row, ...]
    coefficients: tuple[float, ...]
    sampling: SamplingParameters
    seed: int
    conditions: FrameConditions
    guidance: float


@dataclass(frozen=True)
class ModelAbilities:
    """What the loaded checkpoint can be conditioned on."""

    kind: Kind
    frame_conditioning: FrameConditioningConfig | None


class RowBias:
    """What frame conditioners add to the decoder's input, row by row.

    A row's prompt speaks for the attributes that are left free.
    """

    def __init__(
        self,
        conditioner: FrameConditioner | None,
        implied: Callable[[str | None], AttributeStates],
        device: torch.device,
    ) -> None:
        self._conditioner, self._implied = conditioner, implied
        self._device = device

    @property
    def is_needed(self) -> bool:
        return self._conditioner is not None

    def __call__(
        self, rows: Sequence[Row], conditions: Sequence[FrameConditions]
    ) -> torch.Tensor | None:
        """The bias of T frames: float32 [B, T, D]; see `FrameConditioner` for rows without."""
        if self._conditioner is None:
            return None
        told = [self._implied(row.text) if row.is_conditioned else None for row in rows]
        embedded: dict[AttributeStates | None, torch.Tensor] = {}
        for states in told:
            if states is not None and states not in embedded:
                filled = [_filled(one, states) for one in conditions]
                embedded[states] = self._conditioner(filled)
        if None in told:
            agreed = _agreed([states for states in told if states is not None])
            filled = [_filled(one, agreed) for one in conditions]
            embedded[None] = self._conditioner.unconditional(filled)
        return torch.stack([embedded[states] for states in told]).to(self._device)


def _filled(conditions: FrameConditions, states: AttributeStates) -> FrameConditions:
    """The same with attributes that it does not name."""
    if not states:
        return conditions
    attributes = {**dict(states), **dict(conditions.attributes)}
    return replace(conditions, attributes=tuple(attributes.items()))


def _agreed(told: Sequence[AttributeStates]) -> AttributeStates:
    """What all of some prompts say."""
    if not told:
        return ()
    return tuple(state for state in told[0] if all(state in states for states in told))


def situation_at(
    score: Score, timeline: Timeline | None, frame: int, abilities: ModelAbilities
) -> Situation:
    """Evaluate the score at one frame."""
    rows, coefficients = _rows(score, frame, abilities)
    temperature, top_k, top_p = (score.at(n, frame) for n in ("temperature", "top_k", "top_p"))
    return Situation(
        rows=rows,
        coefficients=coefficients,
        sampling=SamplingParameters(temperature, top_k, top_p),
        seed=score.at("seed", frame),
        conditions=_frame_conditions(score, timeline, frame, abilities.frame_conditioning),
        guidance=score.at("cfg", frame),
    )


def _rows(
    score: Score, frame: int, abilities: ModelAbilities
) -> tuple[tuple[Row, ...], tuple[float, ...]]:
    """The rows whose logits count, with their coefficients.

    With c for cfg and b for cfg_melody, u unconditional, m melody alone:
    u + sum_i w_i c (m + b (cond_i - m) - u), which for b = 1 is u + sum_i w_i c (cond_i - u).
    """
    melody = score.at("melody", frame) if abilities.kind == "melody" else None
    negative = score.at("negative", frame)
    cfg, cfg_melody = score.at("cfg", frame), score.at("cfg_melody", frame)
    prompts = _prompts(score, frame)
    # Without a prompt there is still something to guide towards, or away from.
    is_plain = not prompts
    if is_plain and (melody or negative or abilities.frame_conditioning):
        prompts = [("plain", None, 1.0)]
    # A melody alone is the "plain" row: there is no text to weigh against it.
    is_double = melody is not None and cfg_melody != 1.0 and not is_plain
    text_share = cfg_melody if is_double else 1.0
    total = sum(weight for _, _, weight in prompts)
    candidates = [(Row("uncond", negative, None, False), 1.0 - cfg * total)]
    if is_double:
        candidates.append((Row("melody", None, melody, True), cfg * total * (1 - text_share)))
    for name, text, weight in prompts:
        candidates.append((Row(name, text, melody, True), cfg * weight * text_share))
    # A row that does not count is not computed: guidance 1 runs a single row.
    counting = [pair for pair in candidates if pair[1] != 0.0] or candidates[:1]
    return tuple(row for row, _ in counting), tuple(share for _, share in counting)


def _prompts(score: Score, frame: int) -> list[tuple[str, str | None, float]]:
    """(name, text, weight) of the live slots, in order of slots."""
    prompts: list[tuple[str, str | None, float]] = []
    words = score.at(TEMPO_WORDS, frame)
    for slot in range(NUM_SLOTS):
        text, weight = score.at(f"prompt/{slot}", frame), score.at(f"weight/{slot}", frame)
        if text is not None and weight != 0.0:
            prompts.append((f"prompt/{slot}", with_words(text, words), weight))
    return prompts


def _frame_conditions(
    score: Score, timeline: Timeline | None, frame: int, config: FrameConditioningConfig | None
) -> FrameConditions:
    if config is None:
        return NO_CONDITIONS
    clock = None
    # The timeline goes back for ever, but no tempo was told before its first frame.
    if config.clock is not None and timeline is not None and frame >= timeline.segments[0].frame:
        clock = timeline.clock_at(frame)
    pitch_class = None
    melody = score.at("melody", frame)
    if config.chroma and melody is not None:
        pitch_class = melody.pitch_class_at(frame)
    asked = ((name, score.at(f"attribute/{name}", frame)) for name in config.attributes)
    attributes = tuple((name, is_on) for name, is_on in asked if is_on is not None)
    return FrameConditions(clock, pitch_class, attributes)
