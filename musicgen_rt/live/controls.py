"""What controls ask of the score: each a list of edits, checked before anything is touched."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from musicgen_rt.errors import ParameterError, PromptError, UnsupportedError
from musicgen_rt.live.asked_tempo import TEMPO_WORDS
from musicgen_rt.live.melody import Melody
from musicgen_rt.live.score import NUM_SLOTS, PARAMETERS, WEIGHT
from musicgen_rt.model.config import LMConfig, ModelConfig
from musicgen_rt.model.text import check_prompt

MAX_RAMP_FRAMES = 1_000_000
# Far beyond any session, and exact in every number format that a frame may pass through.
MAX_FRAME = 2**52


@dataclass(frozen=True)
class Edit:
    """A new value of one control of the score, reached over `ramp_frames`."""

    key: str
    value: Any
    ramp_frames: int = 0


def prompt_edits(slot: int, text: str, weight: float, ramp_frames: int) -> list[Edit]:
    """A prompt in a slot; the text itself is checked where it is encoded."""
    return [
        Edit(f"prompt/{checked_slot(slot)}", checked_text(text)),
        *weight_edits(slot, weight, ramp_frames),
    ]


def weight_edits(slot: int, weight: float, ramp_frames: int) -> list[Edit]:
    """A slot's weight. Raises ParameterError."""
    value = WEIGHT.check("weight", weight)
    return [Edit(f"weight/{checked_slot(slot)}", value, checked_ramp(ramp_frames))]


def clear_edits(slot: int) -> list[Edit]:
    """An empty slot, without weight so that the next prompt there can fade in."""
    return [
        Edit(f"prompt/{checked_slot(slot)}", None),
        Edit(f"weight/{slot}", WEIGHT.default),
    ]


def parameter_edits(name: str, value: float, ramp_frames: int) -> list[Edit]:
    """A numeric parameter. Raises ParameterError naming the parameters or the range."""
    if name not in PARAMETERS:
        raise ParameterError(f"parameter {name!r}: expected one of {', '.join(PARAMETERS)}")
    parameter = PARAMETERS[name]
    checked = parameter.check(name, value)
    if parameter.is_whole and ramp_frames:
        raise ParameterError(f"{name} is a whole number and cannot be ramped")
    return [Edit(name, checked, checked_ramp(ramp_frames))]


def attribute_edits(name: str, is_on: bool | None, config: ModelConfig) -> list[Edit]:
    """An attribute of the checkpoint. Raises UnsupportedError or ParameterError."""
    conditioning = config.frame_conditioning
    names = conditioning.attributes if conditioning is not None else ()
    if name not in names:
        raise UnsupportedError(
            f"attribute {name!r}: this checkpoint has {', '.join(names) or 'none'}"
        )
    if is_on is not None and not isinstance(is_on, bool):
        raise ParameterError(f"{name} is {is_on!r}: expected True, False or None for free")
    return [Edit(f"attribute/{name}", is_on)]


def require_melody(melody: Melody, config: ModelConfig) -> None:
    """Raise UnsupportedError if the checkpoint cannot follow a melody, ParameterError for none."""
    if not isinstance(melody, Melody):
        raise ParameterError(f"the melody is a {type(melody).__name__}: expected a Melody or None")
    require_melody_ability(config)


def require_melody_ability(config: ModelConfig) -> None:
    """Raise UnsupportedError if the checkpoint cannot follow any melody."""
    if not can_follow(config):
        raise UnsupportedError(
            "this checkpoint cannot follow a melody: load a melody checkpoint "
            "(facebook/musicgen-melody) or one with a chroma conditioner"
        )


def can_follow(config: ModelConfig) -> bool:
    """Whether the checkpoint can follow a melody."""
    conditioning = config.frame_conditioning
    return config.kind == "melody" or (conditioning is not None and conditioning.chroma)


def checked_audio(samples: np.ndarray, rate_hz: int, config: ModelConfig) -> np.ndarray:
    """Audio to continue, float32 [C, N]; its length is checked by the codec.

    Raises ParameterError.
    """
    expected_hz = config.sampling_rate_hz
    if rate_hz != expected_hz:
        raise ParameterError(f"audio at {rate_hz} Hz: expected {expected_hz} Hz; resample it")
    audio = np.ascontiguousarray(samples, dtype=np.float32)
    if not np.isfinite(audio).all():
        raise ParameterError("the audio holds NaN or infinity: expected finite samples")
    return audio


def checked_codes(codes: np.ndarray, config: LMConfig) -> np.ndarray:
    """Codes to continue, int64 [K, T]. Raises ParameterError."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[0] != config.num_codebooks or codes.dtype.kind not in "iu":
        raise ParameterError(
            f"codes are {codes.dtype} {list(codes.shape)}: expected whole numbers of shape "
            f"[{config.num_codebooks}, T]"
        )
    if not codes.shape[1] or codes.min() < 0 or codes.max() >= config.vocab_size:
        raise ParameterError(
            f"{codes.shape[1]} frames of codes: expected 1 or more frames with codes from 0 to "
            f"{config.vocab_size - 1}"
        )
    return codes.astype(np.int64)


def checked_value(key: str, value: Any, config: ModelConfig) -> Any:
    """A value of the score that comes from a file. Raises a MusicgenRTError as the controls do."""
    control, _, name = key.partition("/")
    if key in PARAMETERS:
        return PARAMETERS[key].check(key, value)
    if control == "weight":
        return WEIGHT.check(f"weight {checked_slot(int(name))}", value)
    if control == "attribute":
        return attribute_edits(name, value, config)[0].value
    if key == "roll":
        return checked_roll(value)
    if key not in ("negative", TEMPO_WORDS) and control != "prompt":
        raise ParameterError(f"control {key!r}: this version does not know it")
    if control == "prompt":
        checked_slot(int(name))
    if value is not None:
        check_prompt(checked_text(value))
    return value


def checked_roll(value: Any) -> bool | None:
    """A window's beginning: set at a frame, or never. Raises ParameterError."""
    if value is not None and value is not True:
        raise ParameterError(f"roll is {value!r}: expected True")
    return value


def checked_frame(name: str, frame: int) -> int:
    """A frame, 0 or more. Raises ParameterError."""
    return checked_whole(name, frame, 0, MAX_FRAME)


def checked_ramp(ramp_frames: int) -> int:
    """The length of a ramp. Raises ParameterError."""
    return checked_whole("ramp_frames", ramp_frames, 0, MAX_RAMP_FRAMES)


def checked_slot(slot: int) -> int:
    """The number of a prompt slot. Raises ParameterError."""
    return checked_whole("slot", slot, 0, NUM_SLOTS - 1)


def checked_text(text: str) -> str:
    """A prompt that is text at all. Raises PromptError."""
    if not isinstance(text, str):
        raise PromptError(f"the prompt is a {type(text).__name__}: expected text")
    return text


def checked_whole(name: str, value: int, low: int, high: int) -> int:
    """A whole number as an int. Raises ParameterError naming the range."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ParameterError(f"{name} is {value!r}: expected a whole number, {low} to {high}")
    whole = operator.index(value)
    if not low <= whole <= high:
        raise ParameterError(f"{name} is {whole}: expected {low} to {high}")
    return whole
