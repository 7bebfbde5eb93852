"""The players of a clip: who plays which sound, and the bus that each leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, add_at, time_axis
from musicgen_rt.train.music.bass_patches import BASS_PATCHES
from musicgen_rt.train.music.biquad import apply_filters, lowpass
from musicgen_rt.train.music.drum_kit import DrumKit
from musicgen_rt.train.music.effects import saturate, sweep
from musicgen_rt.train.music.events import PlacedHit, PlacedNote
from musicgen_rt.train.music.key_patches import KEY_PATCHES
from musicgen_rt.train.music.lead_voice import LEAD_WAVES, draw_lead, play_lead
from musicgen_rt.train.music.pad_sound import draw_pad, play_pad
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import log_uniform, pick_weighted, random_stream
from musicgen_rt.train.music.tone_patch import PatchRecipe
from musicgen_rt.train.music.tone_player import play_tones


def play_drums(
    plan: SongPlan, hits: Sequence[PlacedHit], samples: int, rate_hz: int
) -> tuple[Samples, str]:
    """(bus [N], name of the kit)."""
    name = pick_weighted(random_stream(plan.seed, "kit"), plan.style.drums.kits)
    kit = DrumKit(plan.seed, name, rate_hz)
    bus = np.zeros(samples, dtype=np.float32)
    for hit in hits:
        sound = kit.stroke(hit.drum, hit.velocity)
        add_at(bus, sound, int(hit.start_seconds * rate_hz), hit.velocity)
    return bus, name


def play_bass(
    plan: SongPlan, notes: Sequence[PlacedNote], samples: int, rate_hz: int
) -> tuple[Samples, str]:
    """(bus [N], name of the sound)."""
    rng = random_stream(plan.seed, "bass sound")
    name = pick_weighted(rng, plan.style.bass_patches)
    return _play_patch(rng, BASS_PATCHES, name, notes, samples, rate_hz), f"bass {name}"


def play_keys(
    plan: SongPlan, notes: Sequence[PlacedNote], samples: int, rate_hz: int
) -> tuple[Samples, str]:
    """(bus [N], name of the sound)."""
    rng = random_stream(plan.seed, "keys sound")
    name = pick_weighted(rng, plan.style.key_patches)
    return _play_patch(rng, KEY_PATCHES, name, notes, samples, rate_hz), name


def play_pads(
    plan: SongPlan, notes: Sequence[PlacedNote], samples: int, rate_hz: int
) -> tuple[Samples, str]:
    """(bus [N], name of the sound); the filter stays, sways, opens or closes over the clip."""
    rng = random_stream(plan.seed, "pad sound")
    name = pick_weighted(rng, plan.style.pad_patches)
    closed, opened = play_pad(rng, draw_pad(rng, name), notes, samples, rate_hz)
    return sweep(closed, opened, _sweep_curve(rng, samples, rate_hz)), name


def play_leads(
    plan: SongPlan, notes: Sequence[PlacedNote], samples: int, rate_hz: int
) -> tuple[Samples, str]:
    """(bus [N], name of the sound): a bending voice or a one-shot instrument."""
    rng = random_stream(plan.seed, "lead sound")
    name = pick_weighted(rng, plan.style.lead_patches)
    if name not in LEAD_WAVES:
        return _play_patch(rng, KEY_PATCHES, name, notes, samples, rate_hz), name
    voice = draw_lead(rng, name)
    bus = play_lead(rng, voice, notes, samples, rate_hz)
    return _amplify(bus, voice.drive, rate_hz), name


Player = Callable[[SongPlan, Sequence[PlacedNote], int, int], tuple[Samples, str]]
PITCHED_PLAYERS: dict[str, Player] = {
    "bass": play_bass,
    "pad": play_pads,
    "keys": play_keys,
    "lead": play_leads,
}


def _play_patch(
    rng: np.random.Generator,
    recipes: Mapping[str, PatchRecipe],
    name: str,
    notes: Sequence[PlacedNote],
    samples: int,
    rate_hz: int,
) -> Samples:
    patch = recipes[name](rng)
    return _amplify(play_tones(rng, patch, notes, samples, rate_hz), patch.drive, rate_hz)


def _amplify(bus: Samples, drive: float, rate_hz: int) -> Samples:
    """A guitar amplifier: dull, drive, dull again (which also keeps aliases small)."""
    if not drive:
        return bus
    driven = saturate(apply_filters(bus, lowpass(3500.0, rate_hz)), drive)
    return apply_filters(driven, lowpass(4500.0, rate_hz))


def _sweep_curve(rng: np.random.Generator, samples: int, rate_hz: int) -> Samples:
    """How far the pad's filter is open, 0-1, [N]."""
    kind = int(rng.integers(4))
    if kind == 0:
        return np.full(samples, rng.uniform(0.2, 1.0), dtype=np.float32)
    rising = np.linspace(0.0, 1.0, samples, dtype=np.float32)
    if kind == 1:
        return rising
    if kind == 2:
        return rising[::-1]
    turn = np.float32(2.0 * np.pi * log_uniform(rng, 0.05, 0.5)) * time_axis(samples, rate_hz)
    swaying: Samples = np.float32(0.5) + np.float32(0.5) * np.sin(turn)
    return swaying
