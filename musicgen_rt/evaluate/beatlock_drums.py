"""A stand-in for a model's audio: drums whose true beats are known, with every fault that is set.

Nothing here knows of the lock; the sounds are made with NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 32_000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class DrumLoop:
    """A bar of drums in 4/4, again and again.

    The tempo is `bpm` times `1 + drift`, and wanders by `wander` within `wander_seconds`; beat 0
    falls on `start_seconds`. Hits are off by `jitter_seconds` (standard deviation), eighths between
    beats come late by `swing_beats`. `kit` "rock" has kick, snare and hats, "house" a kick on every
    beat and hats between them, "click" clicks alone.
    """

    bpm: float = 120.0
    drift: float = 0.0
    wander: float = 0.0
    wander_seconds: float = 23.0
    start_seconds: float = 0.0
    jitter_seconds: float = 0.0
    swing_beats: float = 0.0
    kit: Literal["rock", "house", "click"] = "rock"
    seed: int = 1

    def beat_times(self, seconds: float) -> Array:
        """When beats 0, 1, ... truly fall, before jitter: [beats] in seconds."""
        grid = np.arange(-2.0, seconds + 2.0, 0.001)
        turn = 2 * np.pi / self.wander_seconds
        tempo = self.bpm / 60 * (1 + self.drift + self.wander * np.sin(turn * grid))
        beats = np.concatenate([[0.0], np.cumsum(tempo[:-1]) * 0.001])
        beats -= np.interp(self.start_seconds, grid, beats)
        return np.interp(np.arange(0.0, np.floor(beats[-1])), beats, grid)

    def render(self, seconds: float, level: float = 0.5) -> NDArray[np.float32]:
        """The audio [1, N]."""
        rng = np.random.default_rng(self.seed)
        out = np.zeros(round(seconds * RATE_HZ) + RATE_HZ)
        beats = self.beat_times(seconds)
        sounds = _sounds(rng)
        for eighth in range(2 * (len(beats) - 1)):
            beat, is_between = divmod(eighth, 2)
            time = beats[beat]
            if is_between:
                time += (0.5 + self.swing_beats) * (beats[beat + 1] - beats[beat])
            for name, gain in _hits(self.kit, beat % 4, bool(is_between)):
                at = time + self.jitter_seconds * rng.standard_normal()
                first = round(at * RATE_HZ)
                sound = sounds[name]
                if 0 <= first < len(out) - len(sound):
                    out[first : first + len(sound)] += gain * sound
        out = out[: round(seconds * RATE_HZ)] * level
        return out[None].astype(np.float32)


def ambient(seconds: float, seed: int = 3) -> NDArray[np.float32]:
    """Slow chords in soft noise, without a beat: [1, N]."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    out = np.zeros(count)
    for pitch in (45, 52, 57, 60, 64, 67, 71):
        rate_hz, turn = rng.uniform(0.03, 0.17), rng.uniform(0, 2 * np.pi)
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * rate_hz * time + turn)
        out += 0.06 * swell * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time)
    noise = np.convolve(rng.standard_normal(count), np.ones(24) / 24, "same")
    out += 0.02 * (1 + 0.5 * np.sin(2 * np.pi * 0.07 * time)) * noise
    return out[None].astype(np.float32)


def _hits(kit: str, beat: int, is_between: bool) -> list[tuple[str, float]]:
    if kit == "click":
        return [] if is_between else [("click", 0.8)]
    if kit == "house":
        clap = [("snare", 0.5)] if beat in (1, 3) else []
        return [("hat", 0.35)] if is_between else [("kick", 0.9), *clap]
    if is_between:
        return [("hat", 0.3), *([("kick", 0.5)] if beat == 2 else [])]
    return [("hat", 0.3), ("kick", 0.9) if beat in (0, 2) else ("snare", 0.7)]


def _sounds(rng: np.random.Generator) -> dict[str, Array]:
    time = np.arange(int(0.25 * RATE_HZ)) / RATE_HZ
    sweep = 2 * np.pi * np.cumsum(48 + 90 * np.exp(-time / 0.03)) / RATE_HZ
    noise = rng.standard_normal(len(time))
    bright = np.diff(noise, prepend=0.0)
    return {
        "kick": np.exp(-time / 0.09) * np.sin(sweep),
        "snare": np.exp(-time / 0.06) * (0.4 * noise + 0.5 * np.sin(2 * np.pi * 190 * time)),
        "hat": np.exp(-time / 0.02) * 0.5 * bright,
        "click": np.exp(-time / 0.004) * np.sin(2 * np.pi * 1500 * time),
    }
