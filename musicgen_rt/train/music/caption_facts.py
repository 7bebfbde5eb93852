"""Which facts of a clip a caption may state, and which of them one caption does.

The facts of a clip, the sheet, are a dictionary; so are the facts of a caption, a part of it.
"""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.plan import ROLES
from musicgen_rt.train.music.truth import Truth

Fact = str | int | bool
Facts = dict[str, Fact]

# How often a caption states each fact, if the fact is there to state.
_SHARES = {
    "style": 0.75,
    "mood": 0.4,
    "bpm": 0.45,
    "tempo": 0.2,
    "key": 0.4,
    "beats_per_bar": 0.15,
    "no drums": 0.5,
    "no other": 0.08,
    "role": 0.5,
    "sound": 0.6,
}
# A role is worth naming when it plays in this share of the clip.
_HEARD_SHARE = 0.4
_RARE_METER_BEATS = 3


def fact_sheet(truth: Truth) -> Facts:
    """All that captions may say of a clip.

    The names are style, mood, bpm (a whole number), tempo (slow, medium, fast, rising, falling),
    key, beats_per_bar, each role as True or False, and `<role>_sound`. What is doubtful (the bpm
    of a clip that changes tempo, a role that plays for a moment) is left out.
    """
    facts: Facts = {"style": truth.style, "mood": truth.mood}
    if truth.has_steady_tempo:
        facts["bpm"] = round(truth.bpm)
    tempo = _tempo_word(truth)
    if tempo:
        facts["tempo"] = tempo
    if truth.chords:
        facts["key"] = truth.key_name
    facts["beats_per_bar"] = truth.beats_per_bar
    for role in ROLES:
        if role not in truth.instruments:
            facts[role] = False
        elif _share(truth, role) >= _HEARD_SHARE:
            facts[role] = True
            facts[f"{role}_sound"] = truth.instruments[role]
    return facts


def choose_facts(rng: np.random.Generator, sheet: Facts) -> Facts:
    """The facts of one caption: at least one, in no order that matters."""
    chosen: Facts = {}
    while not chosen:
        chosen = {
            name: sheet[name]
            for name in ("style", "mood", "bpm", "tempo", "key")
            if name in sheet and rng.random() < _SHARES[name]
        }
        meter = int(sheet["beats_per_bar"])
        share = 0.6 if meter == _RARE_METER_BEATS else _SHARES["beats_per_bar"]
        if rng.random() < share:
            chosen["beats_per_bar"] = meter
        for role in ROLES:
            chosen |= _choose_role(rng, sheet, role)
    return chosen


def _choose_role(rng: np.random.Generator, sheet: Facts, role: str) -> Facts:
    """What one caption says of one role: nothing, its absence, or its presence and sound."""
    state = sheet.get(role)
    if state is None:
        return {}
    if state is False:
        share = _SHARES["no drums"] if role == "drums" else _SHARES["no other"]
        return {role: False} if rng.random() < share else {}
    if rng.random() > _SHARES["role"]:
        return {}
    if rng.random() < _SHARES["sound"]:
        return {role: True, f"{role}_sound": sheet[f"{role}_sound"]}
    return {role: True}


def _share(truth: Truth, role: str) -> float:
    """The share of the clip's time in whose bars `role` sounds."""
    played = sum(bar.end_seconds - bar.start_seconds for bar in truth.bars if getattr(bar, role))
    return played / truth.seconds


def _tempo_word(truth: Truth) -> str | None:
    """slow, medium, fast, rising or falling; None where listeners would differ."""
    last_bpm = truth.tempo_map[-1].bpm
    if not truth.has_steady_tempo:
        return "rising" if last_bpm > truth.bpm else "falling"
    if truth.bpm <= 80.0:
        return "slow"
    if truth.bpm >= 145.0:
        return "fast"
    return "medium" if 95.0 <= truth.bpm <= 125.0 else None
