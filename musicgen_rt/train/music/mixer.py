"""The mix: balance, ducking, space, sweeps and textures over the roles' buses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, time_axis
from musicgen_rt.train.music.biquad import apply_filters, lowpass
from musicgen_rt.train.music.effects import duck, echo, gate, reverberate, sweep, tremolo
from musicgen_rt.train.music.master import master
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import log_uniform, pick, random_stream
from musicgen_rt.train.music.step_pattern import STEP_BEATS
from musicgen_rt.train.music.texture import draw_texture

# RMS of each role's bus while it plays, before the mix is set to its loudness.
_LEVEL_DB = {"drums": -16.0, "bass": -18.0, "pad": -23.0, "keys": -21.0, "lead": -18.5}
_SEND = {"drums": 0.2, "bass": 0.03, "pad": 0.5, "keys": 0.45, "lead": 0.4}
_GATES = ("x.x.x.x.", "xx.xx.x.", "x.xxx.xx", "x..x..x.", "xxx.xxx.")
_GATE_SHARES = {"house": 0.2, "techno": 0.25, "synth-pop": 0.2, "breakbeat": 0.1}
_SWEEP_SHARE = 0.12


def mix_clip(
    plan: SongPlan, buses: Mapping[str, Samples], kicks_seconds: Sequence[float], rate_hz: int
) -> Samples:
    """The finished clip [N] of the roles' buses (each [N], at any level)."""
    rng = random_stream(plan.seed, "mix")
    is_ducked = rng.random() < plan.style.sidechain_share and bool(kicks_seconds)
    depth, seconds = float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.15, 0.4))
    samples = len(next(iter(buses.values())))
    dry = np.zeros(samples, dtype=np.float32)
    send = np.zeros(samples, dtype=np.float32)
    for role in sorted(buses):
        bus = _level(rng, role, _treat(rng, plan, role, buses[role], rate_hz))
        if is_ducked and role in ("bass", "pad", "keys"):
            bus = duck(bus, kicks_seconds, depth, seconds, rate_hz)
        dry += bus
        send += bus * np.float32(_SEND[role] * rng.uniform(0.3, 1.3))
    mix = _add_space(rng, plan, dry, send, rate_hz)
    mix = _sweep_mix(rng, mix, rate_hz)
    texture = draw_texture(rng, plan.style.name, samples, rate_hz)
    if texture is not None:
        mix += texture * np.float32(_rms(mix) * 10.0 ** (rng.uniform(-42.0, -26.0) / 20.0))
    return master(plan, mix, rate_hz)


def _treat(
    rng: np.random.Generator, plan: SongPlan, role: str, bus: Samples, rate_hz: int
) -> Samples:
    """One role's bus [N] with its own effects."""
    if role == "keys" and rng.random() < 0.25:
        bus = tremolo(bus, float(rng.uniform(2.0, 6.5)), float(rng.uniform(0.2, 0.7)), rate_hz)
    if role == "pad" and rng.random() < _GATE_SHARES.get(plan.style.name, 0.0):
        bus = _gate_in_time(rng, plan, bus, rate_hz)
    if role in ("lead", "keys") and rng.random() < plan.style.echo_share:
        delay_seconds = float(pick(rng, (0.25, 0.5, 0.75, 1.0))) * 60.0 / plan.nominal_bpm
        wet = echo(bus, delay_seconds, float(rng.uniform(0.2, 0.55)), rate_hz)
        bus = bus + np.float32(rng.uniform(0.12, 0.4)) * wet
    return bus


def _gate_in_time(rng: np.random.Generator, plan: SongPlan, bus: Samples, rate_hz: int) -> Samples:
    """`bus` [N] chopped on the steps of a two-beat pattern."""
    pattern = pick(rng, _GATES)
    steps = np.arange(int(plan.grid.bars * plan.beats_per_bar / STEP_BEATS))
    is_open = np.array([letter == "x" for letter in pattern])[steps % len(pattern)]
    starts = plan.grid.seconds(steps[is_open] * STEP_BEATS)
    ends = plan.grid.seconds((steps[is_open] + 0.8) * STEP_BEATS)
    spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
    return gate(bus, spans, float(rng.uniform(0.05, 0.4)), rate_hz)


def _level(rng: np.random.Generator, role: str, bus: Samples) -> Samples:
    """`bus` [N] at its role's level, give or take some dB, measured where it plays."""
    level_db = _LEVEL_DB[role] + float(rng.uniform(-4.0, 3.0))
    playing = bus[np.abs(bus) > 1e-4]
    if not len(playing):
        return bus
    return bus * np.float32(10.0 ** (level_db / 20.0) / _rms(playing))


def _add_space(
    rng: np.random.Generator, plan: SongPlan, dry: Samples, send: Samples, rate_hz: int
) -> Samples:
    seconds = log_uniform(rng, *plan.style.reverb_seconds) * (1.0 - 0.3 * plan.mood.energy)
    damping_hz = log_uniform(rng, 1800.0, 7000.0)
    if rng.random() < 0.15:
        return dry
    return dry + reverberate(rng, send, seconds, damping_hz, rate_hz)


def _sweep_mix(rng: np.random.Generator, mix: Samples, rate_hz: int) -> Samples:
    """At times the whole mix goes under a low-pass: it opens, closes or sways."""
    if rng.random() > _SWEEP_SHARE:
        return mix
    closed = apply_filters(mix, lowpass(log_uniform(rng, 300, 1200), rate_hz, 0.9))
    turn = time_axis(len(mix), rate_hz) * np.float32(rate_hz / len(mix))
    curve = pick(
        rng,
        (
            np.minimum(2.0 * turn, 1.0),
            np.minimum(2.0 * (1.0 - turn), 1.0),
            0.5 + 0.5 * np.cos(np.float32(2.0 * np.pi * rng.integers(1, 4)) * turn),
        ),
    )
    return sweep(closed, mix, curve.astype(np.float32))


def _rms(sound: Samples) -> float:
    return float(np.sqrt(np.mean(sound**2))) + 1e-9
