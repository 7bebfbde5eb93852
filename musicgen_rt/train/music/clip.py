"""A clip of generated music with its truth: the package's entry point."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.music.audio_array import Samples
from musicgen_rt.train.music.band import PITCHED_PLAYERS, play_drums
from musicgen_rt.train.music.bass_part import compose_bass
from musicgen_rt.train.music.chord_part import compose_keys, compose_pad
from musicgen_rt.train.music.drum_part import compose_drums
from musicgen_rt.train.music.events import PlacedHit, PlacedNote
from musicgen_rt.train.music.lead_part import compose_lead
from musicgen_rt.train.music.mixer import mix_clip
from musicgen_rt.train.music.plan import SongPlan, plan_song
from musicgen_rt.train.music.score import Score, write_truth
from musicgen_rt.train.music.timing import place_hits, place_line, place_notes
from musicgen_rt.train.music.truth import Truth

_SHORTEST_SECONDS = 0.5
_LONGEST_SECONDS = 600.0
_RATES_HZ = (16000, 96000)


@dataclass(frozen=True)
class Clip:
    """`samples` float32 [N] mono in (-1, 1), at `rate_hz`, and what is true of them."""

    samples: Samples
    rate_hz: int
    truth: Truth


def generate_clip(seed: int, seconds: float = 30.0, rate_hz: int = 32000) -> Clip:
    """The clip of `seed`: a pure function of its arguments.

    Clips of one seed and different lengths begin alike in style, key and tempo, but are different
    performances. Raises ParameterError for a negative seed, a length outside 0.5-600 s or a rate
    outside 16-96 kHz.
    """
    _check(seed, seconds, rate_hz)
    # A NumPy integer would not go into the truth's JSON.
    plan = plan_song(operator.index(seed), float(seconds))
    hits = place_hits(plan, compose_drums(plan))
    notes = {
        "bass": place_line(plan, "bass", compose_bass(plan)),
        "pad": place_notes(plan, "pad", compose_pad(plan)),
        "keys": place_notes(plan, "keys", compose_keys(plan)),
        "lead": place_line(plan, "lead", compose_lead(plan)),
    }
    samples, instruments = _perform(plan, hits, notes, round(seconds * rate_hz), rate_hz)
    score = Score(plan, float(seconds), hits, notes, instruments)
    return Clip(samples, rate_hz, write_truth(score))


def _perform(
    plan: SongPlan,
    hits: tuple[PlacedHit, ...],
    notes: dict[str, tuple[PlacedNote, ...]],
    samples: int,
    rate_hz: int,
) -> tuple[Samples, dict[str, str]]:
    """(the mixed clip [N], the sound of each role that plays)."""
    buses: dict[str, Samples] = {}
    instruments: dict[str, str] = {}
    if hits:
        buses["drums"], instruments["drums"] = play_drums(plan, hits, samples, rate_hz)
    for role, play in PITCHED_PLAYERS.items():
        if notes[role]:
            buses[role], instruments[role] = play(plan, notes[role], samples, rate_hz)
    kicks = [hit.start_seconds for hit in hits if hit.drum == "kick"]
    if not buses:
        return np.zeros(samples, dtype=np.float32), instruments
    return mix_clip(plan, buses, kicks, rate_hz), instruments


def _check(seed: int, seconds: float, rate_hz: int) -> None:
    if seed < 0:
        raise ParameterError(f"seed {seed}: expected an integer >= 0; use its absolute value")
    if not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        raise ParameterError(
            f"seconds {seconds}: expected {_SHORTEST_SECONDS}-{_LONGEST_SECONDS}; "
            "make several clips for more"
        )
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
        raise ParameterError(
            f"rate_hz {rate_hz}: expected {_RATES_HZ[0]}-{_RATES_HZ[1]}; the codec wants 32000"
        )
