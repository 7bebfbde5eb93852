"""Where the beats of heard music lie, if their tempo is about known: an onset comb.

Onsets are laid around the circle of one beat of the *asked* tempo. For each small error of that
tempo, and each lateness, a comb of narrow pulses is laid over them; the best pair is the reading.
The comb is a sum of the circle's first harmonics, so that all latenesses of one tempo cost a single
short Fourier sum (a folded version of Scheirer's comb filters, JASA 1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_TEMPO_ERROR = 0.06

_TEMPO_STEP = 0.0025
_HARMONICS = 6
_PULSE_BEATS = 0.045
_PLACES = 256
# How much of the onsets must lie under the comb: what chance gives, and what no drummer exceeds.
_CHANCE, _CERTAIN = 0.30, 0.65
# Below this mean strength, in dB, there are no onsets to speak of.
_SILENT_DB = 0.08
_LOUD_DB = 0.25
# What is expected wins over what is a little stronger.
_EXPECTED_BONUS = 0.35
_EXPECTED_BEATS = 0.09
_EXPECTED_TEMPO = 0.02
_FEWEST_BEATS = 3.0


@dataclass(frozen=True)
class BeatReading:
    """Where heard beats are. At the end of what was heard the music is `ahead_beats` further than
    the asked clock, -0.5 to 0.5, and runs `tempo_error` faster than it (0.01: by 1 %).

    `confidence` is 0 to 1; where it is 0 the other two mean nothing. `support` is how much of the
    onsets lies where the beats were expected, -1 to 1.
    """

    ahead_beats: float
    tempo_error: float
    confidence: float
    support: float = 0.0


NOTHING_HEARD = BeatReading(0.0, 0.0, 0.0)


def read_beats(
    strengths: Array, asked_beats: Array, expected: tuple[float, float] | None = None
) -> BeatReading:
    """Read the onset `strengths` [N] at moments where the asked clock stands at `asked_beats` [N].

    `expected` is what (ahead_beats, tempo_error) would be if nothing had changed since; without
    it the clock itself is what is expected, less firmly.
    """
    span = asked_beats[-1] - asked_beats[0] if len(asked_beats) else 0.0
    if span < _FEWEST_BEATS or strengths.mean() < _SILENT_DB:
        return NOTHING_HEARD
    onsets = np.maximum(strengths - strengths.mean(), 0.0)
    total = onsets.sum()
    if total <= 0:
        return NOTHING_HEARD
    errors = np.arange(-MAX_TEMPO_ERROR, MAX_TEMPO_ERROR + _TEMPO_STEP / 2, _TEMPO_STEP)
    since = asked_beats - asked_beats[-1]
    under = _under_comb(onsets / total, since, errors)  # [errors, places]
    places = np.arange(_PLACES) / _PLACES
    chosen = under * (1 + _bonus(errors, places - asked_beats[-1], expected))
    row, place = np.unravel_index(int(chosen.argmax()), chosen.shape)
    fine_error = errors[row] + _TEMPO_STEP * _peak_offset(chosen[:, place], int(row), wraps=False)
    fine_place = (place + _peak_offset(chosen[row], int(place), wraps=True)) / _PLACES
    evidence = (under[row, place] - _CHANCE) / (_CERTAIN - _CHANCE)
    loudness = (strengths.mean() - _SILENT_DB) / (_LOUD_DB - _SILENT_DB)
    confidence = float(np.clip(evidence, 0, 1) * np.clip(loudness, 0, 1))
    ahead_beats, tempo_error = expected or (0.0, 0.0)
    there = round((ahead_beats + asked_beats[-1]) % 1 * _PLACES) % _PLACES
    return BeatReading(
        _wrapped(fine_place - asked_beats[-1]),
        float(fine_error),
        confidence,
        support=float(under[np.abs(errors - tempo_error).argmin(), there]),
    )


def _under_comb(weights: Array, since_beats: Array, errors: Array) -> Array:
    """How much of the onsets a comb catches, -1 to 1: [errors, places of the music at the end]."""
    harmonics = np.arange(1, _HARMONICS + 1)
    pulse = np.exp(-2 * (np.pi * harmonics * _PULSE_BEATS) ** 2)
    turns = np.exp(2j * np.pi * since_beats[None] * (1 + errors[:, None]))  # [errors, N]
    power = np.broadcast_to(weights, turns.shape).astype(complex)
    spectrum = np.zeros((len(errors), _PLACES // 2 + 1), complex)
    for index in range(_HARMONICS):
        power = power * turns
        spectrum[:, index + 1] = power.sum(axis=1) * pulse[index]
    # The music stands at place q at the end, so at q + since (1 + error) at an onset: the sum over
    # onsets of cos(2 pi h (q + since (1 + error))), for all q at once.
    return np.fft.irfft(spectrum, _PLACES, axis=1) * (_PLACES / (2 * pulse.sum()))


def _bonus(errors: Array, ahead: Array, expected: tuple[float, float] | None) -> Array:
    """What each tempo error and place gains from being expected: [errors, places]."""
    ahead_beats, tempo_error = expected or (0.0, 0.0)
    firmness = 1.0 if expected is not None else 0.3
    away = ahead - ahead_beats
    away = away - np.round(away)
    near = np.exp(-0.5 * (away / _EXPECTED_BEATS) ** 2)
    like = np.exp(-0.5 * ((errors - tempo_error) / _EXPECTED_TEMPO) ** 2)
    return firmness * _EXPECTED_BONUS * like[:, None] * near[None]


def _peak_offset(values: Array, index: int, *, wraps: bool) -> float:
    """Where a parabola through the highest value and its neighbours peaks: -0.5 to 0.5."""
    if not wraps and not 0 < index < len(values) - 1:
        return 0.0
    left, mid, right = (float(values[(index + k) % len(values)]) for k in (-1, 0, 1))
    curve = left - 2 * mid + right
    return 0.0 if curve >= 0 else float(np.clip(0.5 * (left - right) / curve, -0.5, 0.5))


def _wrapped(beats: float) -> float:
    return float(beats - np.round(beats))
