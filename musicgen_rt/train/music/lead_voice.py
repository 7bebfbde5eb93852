"""The bending lead voice: band-limited wavetables with vibrato, glide and a moving filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from musicgen_rt.train.music.audio_array import Samples, add_at, fade_edges, noise, time_axis
from musicgen_rt.train.music.events import PlacedNote
from musicgen_rt.train.music.formants import VOWELS_HZ, formant_gain
from musicgen_rt.train.music.partials import harmonic_count
from musicgen_rt.train.music.random_stream import log_uniform, pick
from musicgen_rt.train.music.tone_player import pitch_to_hz

Floats = npt.NDArray[np.float64]
Tables = tuple[Samples, Samples, Samples, Samples]

_TABLE_SAMPLES = 2048
_MOST_HARMONICS = 160


@dataclass(frozen=True)
class LeadVoice:
    """A monophonic synthesiser voice; times in seconds, depths in cents."""

    wave: str
    bright_hz: float
    dark_hz: float
    filter_seconds: float
    vibrato_hz: float
    vibrato_cents: float
    vibrato_delay: float
    glide_seconds: float
    unison_cents: tuple[float, ...]
    breath: float
    attack: float
    release: float
    drive: float
    vowel_hz: tuple[float, ...]


LEAD_WAVES = (
    "saw",
    "square",
    "pulse",
    "triangle",
    "sine",
    "flute",
    "brass",
    "lead_guitar",
    "voice",
)


def draw_lead(rng: np.random.Generator, name: str) -> LeadVoice:
    """A member of the family `name` (one of `LEAD_WAVES`)."""
    is_soft = name in ("sine", "flute", "triangle", "voice")
    width = float(rng.uniform(4.0, 18.0))
    many = ((0.0,), (0.0,), (-width, width), (-width, 0.0, width))
    return LeadVoice(
        wave=name,
        bright_hz=log_uniform(rng, 2500, 10000),
        dark_hz=log_uniform(rng, 500, 2500),
        filter_seconds=log_uniform(rng, 0.06, 0.8),
        vibrato_hz=float(rng.uniform(4.2, 6.8)),
        vibrato_cents=float(rng.uniform(15.0 if name == "voice" else 0.0, 28.0)),
        vibrato_delay=float(rng.uniform(0.1, 0.4)),
        glide_seconds=0.0 if rng.random() < 0.5 else float(rng.uniform(0.02, 0.07)),
        unison_cents=pick(rng, many) if name in ("saw", "square", "pulse") else (0.0,),
        breath=log_uniform(rng, 0.01, 0.05) if name == "flute" else 0.0,
        attack=float(rng.uniform(0.015, 0.06)) if is_soft else log_uniform(rng, 0.004, 0.02),
        release=log_uniform(rng, 0.03, 0.2),
        drive=float(rng.uniform(2.0, 6.0)) if name == "lead_guitar" else 0.0,
        vowel_hz=pick(rng, VOWELS_HZ),
    )


def play_lead(
    rng: np.random.Generator,
    voice: LeadVoice,
    notes: Sequence[PlacedNote],
    samples: int,
    rate_hz: int,
) -> Samples:
    """All `notes`, one after the other, on a bus [N]. Joined notes glide when the voice does."""
    bus = np.zeros(samples, dtype=np.float32)
    tables: dict[int, Tables] = {}
    previous: PlacedNote | None = None
    for note in notes:
        is_joined = previous is not None and note.start_seconds - previous.end_seconds < 0.02
        from_pitch = previous.pitch if is_joined and previous is not None else note.pitch
        if note.pitch not in tables:
            tables[note.pitch] = _make_tables(voice, note.pitch, rate_hz)
        sound = _render_note(rng, voice, note, from_pitch, tables[note.pitch], rate_hz)
        add_at(bus, sound, int(note.start_seconds * rate_hz), note.velocity)
        previous = note
    return bus


def _render_note(
    rng: np.random.Generator,
    voice: LeadVoice,
    note: PlacedNote,
    from_pitch: int,
    tables: Tables,
    rate_hz: int,
) -> Samples:
    """One note with its release, [N], faded at both ends."""
    held_seconds = note.end_seconds - note.start_seconds
    samples = int((held_seconds + voice.release) * rate_hz)
    time = time_axis(samples, rate_hz)
    cents = _bend_cents(voice, note.pitch, from_pitch, time)
    opening = np.exp(time * np.float32(-1.0 / voice.filter_seconds))
    sound = np.zeros(samples, dtype=np.float32)
    for detune in voice.unison_cents:
        increment = pitch_to_hz(note.pitch) / rate_hz * np.exp2((cents + detune) / 1200.0)
        phase = (float(rng.random()) + np.cumsum(increment, dtype=np.float64)) % 1.0
        sound += _read(tables, phase.astype(np.float32), opening)
    sound /= np.float32(np.sqrt(len(voice.unison_cents)))
    if voice.breath:
        sound += np.float32(voice.breath) * noise(rng, samples)
    attack = max(16, int(voice.attack * rate_hz))
    return fade_edges(sound, attack, max(16, int(voice.release * rate_hz)))


def _bend_cents(voice: LeadVoice, pitch: int, from_pitch: int, time: Samples) -> Samples:
    """The pitch's deviation along the note, [N]: glide in, then vibrato."""
    swell = np.clip((time - np.float32(voice.vibrato_delay)) * np.float32(4.0), 0.0, 1.0)
    cents: Samples = np.float32(voice.vibrato_cents) * swell
    cents *= np.sin(np.float32(2.0 * np.pi * voice.vibrato_hz) * time)
    if from_pitch != pitch and voice.glide_seconds:
        distance = np.float32(100.0 * (from_pitch - pitch))
        cents += distance * np.exp(time * np.float32(-3.0 / voice.glide_seconds))
    return cents


def _read(tables: Tables, phase: Samples, opening: Samples) -> Samples:
    """Dark plus `opening` [N] times lift at `phase` [N] 0-1, in straight lines between points."""
    position = phase * np.float32(_TABLE_SAMPLES)
    index = position.astype(np.int32) & (_TABLE_SAMPLES - 1)
    fraction = position - np.floor(position)
    dark, dark_slope, lift, lift_slope = (table[index] for table in tables)
    sound: Samples = dark + fraction * dark_slope
    sound += opening * (lift + fraction * lift_slope)
    return sound


def _make_tables(voice: LeadVoice, pitch: int, rate_hz: int) -> Tables:
    """Single cycles [2048] for a pitch, and their slopes: the dark wave, and bright minus dark."""
    pitch_hz = pitch_to_hz(pitch)
    # A glide from above and vibrato raise the pitch: leave room for them.
    count = harmonic_count(1.5 * pitch_hz, rate_hz, _MOST_HARMONICS)
    number = np.arange(1, count + 1, dtype=np.float64)
    levels = _harmonics(voice, number, pitch_hz)
    dark, bright = (
        _cycle(levels / np.sqrt(1.0 + (number * pitch_hz / (cutoff_hz + pitch_hz)) ** 4))
        for cutoff_hz in (voice.dark_hz, voice.bright_hz)
    )
    lift = bright - dark
    return dark, np.roll(dark, -1) - dark, lift, np.roll(lift, -1) - lift


def _cycle(levels: Floats) -> Samples:
    """One cycle [2048] of harmonics of these levels [H], at the power of a sine."""
    spectrum = np.zeros(_TABLE_SAMPLES // 2 + 1, dtype=np.complex64)
    scale = _TABLE_SAMPLES / np.sqrt(np.sum(levels**2))
    spectrum[1 : len(levels) + 1] = -0.5j * scale * levels
    cycle: Samples = scipy.fft.irfft(spectrum, _TABLE_SAMPLES)
    return cycle


def _harmonics(voice: LeadVoice, number: Floats, pitch_hz: float) -> Floats:
    """The levels [H] of the harmonics `number` [H] of the voice's wave."""
    if voice.wave == "voice":
        return formant_gain(number * pitch_hz, voice.vowel_hz) ** 0.5 / number
    return _WAVES.get(voice.wave, _saw)(number)


def _saw(number: Floats) -> Floats:
    return 1.0 / number


def _square(number: Floats) -> Floats:
    return (number % 2) / number


def _pulse(number: Floats) -> Floats:
    levels: Floats = np.abs(np.sin(np.pi * number * 0.22)) / number
    return levels


def _triangle(number: Floats) -> Floats:
    return (number % 2) / number**2


def _sine(number: Floats) -> Floats:
    return np.where(number == 1, 1.0, np.where(number == 2, 0.06, 0.0))


def _flute(number: Floats) -> Floats:
    return np.where(number <= 5, number**-1.8, 0.0)


def _brass(number: Floats) -> Floats:
    return number**-0.7


_WAVES: dict[str, Callable[[Floats], Floats]] = {
    "square": _square,
    "pulse": _pulse,
    "triangle": _triangle,
    "sine": _sine,
    "flute": _flute,
    "brass": _brass,
}
