"""What the attribute conditioners of a clip are told: the roles that sound, and its style.

A role is on or off frame by frame. A style is an attribute of its own, on or off for the whole
clip, so that a musician can ask for one, forbid one, or leave all of them free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.text_attributes import style_attribute
from musicgen_rt.train.lm_records import OFF, ON, ROLE_UNKNOWN, ROLES, FrameTruth
from musicgen_rt.train.music.styles import STYLES

STYLE_ATTRIBUTES = tuple(style_attribute(style) for style in STYLES)
ATTRIBUTES = (*ROLES, *STYLE_ATTRIBUTES)
_States = npt.NDArray[np.uint8]


def require_attributes(names: Sequence[str]) -> None:
    """Raise ParameterError for a name that no clip can tell."""
    for name in names:
        if name not in ATTRIBUTES:
            raise ParameterError(
                f"conditions.attributes has {name!r}; allowed: {', '.join(ATTRIBUTES)}"
            )


def attribute_states(truth: FrameTruth, facts: Mapping[str, Any], names: Sequence[str]) -> _States:
    """What is true of T frames: uint8 [A, T] of off, on or unknown."""
    style = facts.get("style")
    frames = truth.roles.shape[1]
    rows = np.empty((len(names), frames), np.uint8)
    for row, name in zip(rows, names, strict=True):
        if name in ROLES:
            row[:] = truth.roles[ROLES.index(name)]
        elif style is None:
            row[:] = ROLE_UNKNOWN
        else:
            row[:] = ON if style_attribute(str(style)) == name else OFF
    return rows


def drop_attributes(
    rng: np.random.Generator, states: _States, names: Sequence[str], whole: float, partly: float
) -> _States:
    """Makes attributes unknown, `whole` and `partly` as in `dropped`: the styles together.

    Half of the windows that keep their style are not told which styles they are not: a performer
    who asks for one says nothing of the others.
    """
    told = states.copy()
    frames = told.shape[1]
    styles = np.array([name not in ROLES for name in names], np.bool_)
    for index in np.flatnonzero(~styles):
        told[index, dropped(rng, frames, whole, partly)] = ROLE_UNKNOWN
    span = dropped(rng, frames, whole, partly)
    tells_others = rng.random() < 0.5
    for index in np.flatnonzero(styles):
        told[index, span] = ROLE_UNKNOWN
        if not tells_others:
            told[index, told[index] == OFF] = ROLE_UNKNOWN
    return told


def dropped(rng: np.random.Generator, frames: int, whole: float, partly: float) -> slice:
    """Which of so many frames lose a condition: all, up to or from some frame, or none."""
    draw, cut, from_start = rng.random(), int(rng.integers(frames)), rng.random() < 0.5
    if draw < whole:
        return slice(0, frames)
    if draw < whole + (1 - whole) * partly:
        return slice(0, cut) if from_start else slice(cut, frames)
    return slice(0, 0)
