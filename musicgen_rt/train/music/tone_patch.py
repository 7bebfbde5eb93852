"""Pitched one-shots: struck, plucked, blown and synthetic notes as sums of partials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.audio_array import Samples, noise, time_axis
from musicgen_rt.train.music.partials import (
    Floats,
    block_times,
    harmonic_count,
    lowpass_response,
    render_partials,
)


@dataclass(frozen=True)
class TonePatch:
    """The sound of an instrument whose pitch does not bend; all times in seconds.

    Levels of harmonics fall as h^-tilt; `even` scales the even ones; `comb` (0-1, 0 off) is the
    place of a pluck or a pulse's width; explicit `ratios` and `ratio_levels` replace harmonics.
    `decay` 0 sustains; else the fundamental of A3 falls by 60 dB in `decay`, harmonic h in
    decay * h^-decay_tilt. The low-pass opens `sweep_octaves` above `cutoff_hz` (a multiple of the
    pitch is added: `cutoff_harmonics`) and closes within `sweep_seconds`. `fm_index` > 0 makes the
    patch a two-operator FM tone instead. `unison_cents` are copies' detunings.
    """

    tilt: float = 1.0
    even: float = 1.0
    comb: float = 0.0
    ratios: tuple[float, ...] = ()
    ratio_levels: tuple[float, ...] = ()
    ratio_decays: tuple[float, ...] = ()
    harmonics: int = 48
    stretch: float = 0.0
    decay: float = 0.0
    decay_tilt: float = 0.5
    cutoff_hz: float = 0.0
    cutoff_harmonics: float = 0.0
    sweep_octaves: float = 0.0
    sweep_seconds: float = 0.2
    resonance: float = 0.8
    poles: int = 2
    fm_ratio: float = 1.0
    fm_index: float = 0.0
    fm_decay: float = 0.4
    unison_cents: tuple[float, ...] = (0.0,)
    thump: float = 0.0
    attack: float = 0.004
    release: float = 0.06
    drive: float = 0.0
    pitch_drop: float = 0.0

    def longest_seconds(self, held_seconds: float, pitch_hz: float) -> float:
        """How long a note held for `held_seconds` sounds, its release included."""
        if self.decay:
            return min(held_seconds + self.release, self._decay_seconds(pitch_hz))
        return held_seconds + self.release

    def render(
        self,
        rng: np.random.Generator,
        pitch_hz: float,
        seconds: float,
        softness: float,
        rate_hz: int,
    ) -> Samples:
        """A note [N] at about unit RMS-of-a-sine level, without attack and release ramps.

        `softness` 0-1 closes the filter by up to an octave.
        """
        samples = max(1, int(seconds * rate_hz))
        if self.fm_index:
            sound = self._render_fm(pitch_hz, samples, softness, rate_hz)
        else:
            sound = np.zeros(samples, dtype=np.float32)
            for cents in self.unison_cents:
                detuned_hz = pitch_hz * 2.0 ** (cents / 1200.0)
                sound += self._render_partials(rng, detuned_hz, samples, softness, rate_hz)
            sound /= np.float32(np.sqrt(len(self.unison_cents)))
        if self.thump:
            knock = np.exp(time_axis(samples, rate_hz) * np.float32(-300.0))
            sound += np.float32(self.thump) * knock * noise(rng, samples)
        return sound

    def _decay_seconds(self, pitch_hz: float) -> float:
        return self.decay * float(np.clip((220.0 / pitch_hz) ** 0.5, 0.3, 2.0))

    def _render_partials(
        self, rng: np.random.Generator, pitch_hz: float, samples: int, softness: float, rate_hz: int
    ) -> Samples:
        times = block_times(samples, rate_hz)
        frequencies, amplitudes, speeds = self._partials(pitch_hz, rate_hz)
        levels = amplitudes[:, None] * np.exp(-speeds[:, None] * times)
        if self.cutoff_hz:
            octaves = self.sweep_octaves * np.exp(-times / self.sweep_seconds) - softness
            base_hz = self.cutoff_hz + self.cutoff_harmonics * pitch_hz
            cutoff = np.minimum(base_hz * 2.0**octaves, 0.5 * rate_hz)
            levels *= lowpass_response(frequencies, cutoff, self.resonance, self.poles)
        phases = rng.uniform(0.0, 2.0 * np.pi, len(frequencies))
        return render_partials(frequencies, levels, phases, samples, rate_hz)

    def _partials(self, pitch_hz: float, rate_hz: int) -> tuple[Floats, Floats, Floats]:
        """(frequencies, amplitudes, decay speeds), each [H], of a note at `pitch_hz`."""
        base = 6.9 / self._decay_seconds(pitch_hz) if self.decay else 0.0
        if self.ratios:
            ratios = np.array(self.ratios)
            decays = np.array(self.ratio_decays or (1.0,) * len(ratios))
            return pitch_hz * ratios, np.array(self.ratio_levels), base / decays
        number = np.arange(1, harmonic_count(pitch_hz, rate_hz, self.harmonics) + 1.0)
        amplitudes = number**-self.tilt
        amplitudes[1::2] *= self.even
        if self.comb:
            amplitudes *= np.abs(np.sin(np.pi * number * self.comb)) + 0.02
        amplitudes /= np.sqrt(np.sum(amplitudes**2))
        frequencies = pitch_hz * number * np.sqrt(1.0 + self.stretch * number**2)
        return frequencies, amplitudes, base * number**self.decay_tilt

    def _render_fm(self, pitch_hz: float, samples: int, softness: float, rate_hz: int) -> Samples:
        time = np.arange(samples) / rate_hz
        # The index is limited so that the side bands stay under the Nyquist frequency.
        most = max(0.2, 0.4 * rate_hz / (pitch_hz * self.fm_ratio) - 2.0)
        index = min(self.fm_index * (1.0 - 0.5 * softness), most)
        turns = pitch_hz * time
        turns += self.pitch_drop * pitch_hz * 0.03 * (1.0 - np.exp(-time / 0.03))
        angle = (2.0 * np.pi * (turns % 1.0)).astype(np.float32)
        modulator_angle = (2.0 * np.pi * (self.fm_ratio * turns % 1.0)).astype(np.float32)
        depth = np.exp(-time / self.fm_decay).astype(np.float32) * np.float32(index)
        sound = np.sin(angle + depth * np.sin(modulator_angle))
        if self.decay:
            sound *= np.exp(-time * 6.9 / self._decay_seconds(pitch_hz)).astype(np.float32)
        return sound


PatchRecipe = Callable[[np.random.Generator], TonePatch]
