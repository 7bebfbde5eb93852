"""The synthesiser's parts against plain formulas and SciPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.signal

from musicgen_rt.train.music.audio_array import fade_edges
from musicgen_rt.train.music.biquad import bandpass, high_shelf, highpass, lowpass, peaking
from musicgen_rt.train.music.effects import duck, echo, gate, limit, reverberate, saturate
from musicgen_rt.train.music.events import PlacedNote
from musicgen_rt.train.music.lead_voice import LEAD_WAVES, LeadVoice, draw_lead, play_lead
from musicgen_rt.train.music.pad_sound import draw_pad, play_pad
from musicgen_rt.train.music.partials import block_times, lowpass_response, render_partials

RATE_HZ = 32000


def test_partials_are_the_plain_sum_of_sines() -> None:
    rng = np.random.default_rng(0)
    samples = 3001
    frequencies = np.array([110.0, 223.4, 5000.0, 15500.0])
    phases = rng.uniform(0.0, 6.0, 4)
    times = block_times(samples, RATE_HZ)
    levels = rng.uniform(0.0, 1.0, (4, len(times)))
    sound = render_partials(frequencies, levels, phases, samples, RATE_HZ)
    time = np.arange(samples) / RATE_HZ
    plain = sum(
        np.interp(time, times, levels[row]) * np.sin(2 * np.pi * frequencies[row] * time + phase)
        for row, phase in enumerate(phases)
        if frequencies[row] < 0.46 * RATE_HZ
    )
    np.testing.assert_allclose(sound, plain, atol=2e-5)


def test_lowpass_response_is_that_of_the_analogue_filter() -> None:
    frequencies = np.array([50.0, 400.0, 1000.0, 3000.0])
    cutoff, q = 2 * np.pi * 800.0, 2.0
    _, response = scipy.signal.freqs(
        [cutoff**2], [1.0, cutoff / q, cutoff**2], 2 * np.pi * frequencies
    )
    ours = lowpass_response(frequencies, np.array([800.0]), q)[:, 0]
    np.testing.assert_allclose(ours, np.abs(response), rtol=1e-9)


@pytest.mark.parametrize("kind", ["lowpass", "highpass"])
def test_second_order_sections_are_butterworth(kind: str) -> None:
    section = {"lowpass": lowpass, "highpass": highpass}[kind](900.0, RATE_HZ, 2.0**-0.5)
    reference = scipy.signal.butter(2, 900.0, kind, fs=RATE_HZ, output="sos")
    np.testing.assert_allclose(section, reference[0], atol=1e-12)


def test_bells_and_shelves_have_their_gain() -> None:
    frequencies = [1000.0, 15000.0]
    for section, gains_db in (
        (bandpass(1000.0, RATE_HZ, 4.0), (0.0, None)),
        (peaking(1000.0, RATE_HZ, 3.0, -7.0), (-7.0, 0.0)),
        (high_shelf(4000.0, RATE_HZ, 5.0), (None, 5.0)),
    ):
        _, response = scipy.signal.sosfreqz(np.array([section]), frequencies, fs=RATE_HZ)
        for gain, wanted in zip(np.abs(response), gains_db, strict=True):
            if wanted is not None:
                assert 20 * np.log10(gain) == pytest.approx(wanted, abs=0.3)


def test_limiter_holds_its_ceiling_and_leaves_quiet_parts() -> None:
    rng = np.random.default_rng(1)
    mix = (rng.standard_normal(40000) * 0.1).astype(np.float32)
    mix[20000] = 3.0
    limited = limit(mix, 0.9)
    assert np.abs(limited).max() <= 0.9 + 1e-6
    np.testing.assert_array_equal(limited[:10000], mix[:10000])
    np.testing.assert_array_equal(limited[30000:], mix[30000:])


def test_reverb_is_a_linear_tail_after_the_sound() -> None:
    dry = np.zeros(RATE_HZ, dtype=np.float32)
    dry[4000] = 1.0
    wet = reverberate(np.random.default_rng(2), dry, 0.4, 4000.0, RATE_HZ)
    assert np.abs(wet[:4000]).max() < 1e-5
    energy = [float(np.sum(wet[a : a + 3200] ** 2)) for a in (4500, 8000, 12000)]
    assert energy[0] > 10 * energy[1] > 100 * energy[2] > 0.0
    louder = reverberate(np.random.default_rng(2), 2 * dry, 0.4, 4000.0, RATE_HZ)
    np.testing.assert_allclose(louder, 2 * wet, atol=1e-5)


def test_echo_repeats_with_feedback() -> None:
    dry = np.zeros(RATE_HZ, dtype=np.float32)
    dry[0] = 1.0
    wet = echo(dry, 0.25, 0.5, RATE_HZ)
    assert np.flatnonzero(wet).tolist() == [8000, 16000, 24000]
    np.testing.assert_allclose(wet[[8000, 16000, 24000]], [1.0, 0.5, 0.25])


def test_ducking_dips_at_each_hit_without_a_step() -> None:
    bus = np.ones(RATE_HZ, dtype=np.float32)
    ducked = duck(bus, [0.25, 0.6], 0.8, 0.2, RATE_HZ)
    assert ducked[int(0.256 * RATE_HZ)] == pytest.approx(0.2, abs=0.06)
    assert ducked[int(0.2 * RATE_HZ)] == pytest.approx(1.0)
    assert ducked[int(0.5 * RATE_HZ)] == pytest.approx(1.0, abs=1e-3)
    assert np.abs(np.diff(ducked)).max() < 0.01


def test_gate_opens_in_its_spans_without_a_step() -> None:
    gated = gate(np.ones(RATE_HZ, dtype=np.float32), [(0.2, 0.4)], 0.1, RATE_HZ)
    assert gated[int(0.3 * RATE_HZ)] == pytest.approx(1.0)
    assert gated[int(0.6 * RATE_HZ)] == pytest.approx(0.1)
    assert np.abs(np.diff(gated)).max() < 0.01


def test_saturation_keeps_level_and_rounds_peaks() -> None:
    bus = np.random.default_rng(3).standard_normal(20000).astype(np.float32)
    shaped = saturate(bus, 2.0)
    assert np.sqrt(np.mean(shaped**2)) == pytest.approx(np.sqrt(np.mean(bus**2)), rel=1e-4)
    assert np.abs(shaped).max() < 0.8 * np.abs(bus).max()
    np.testing.assert_array_equal(saturate(bus, 0.0), bus)


def test_faded_notes_begin_and_end_at_zero() -> None:
    faded = fade_edges(np.ones(1000, dtype=np.float32), 64, 200)
    assert faded[0] < 1e-3
    assert faded[-1] < 1e-3
    assert np.abs(np.diff(faded)).max() < 0.03


@pytest.mark.parametrize("wave", LEAD_WAVES)
def test_lead_notes_are_in_tune_and_free_of_aliases(wave: str) -> None:
    """A steady high note: all loud components are multiples of its fundamental."""
    voice = draw_lead(np.random.default_rng(4), wave)
    note = PlacedNote(0.0, 1.0, 81, 1.0)
    steady = _without_modulation(voice)
    sound = play_lead(np.random.default_rng(5), steady, [note], RATE_HZ, RATE_HZ)
    spectrum = np.abs(np.fft.rfft(sound[4000:20384] * np.hanning(16384)))
    frequencies = np.fft.rfftfreq(16384, 1 / RATE_HZ)
    assert frequencies[spectrum.argmax()] % 880.0 == pytest.approx(0.0, abs=3.0) or (
        frequencies[spectrum.argmax()] % 880.0 > 877.0
    )
    off_harmonics = np.abs((frequencies + 440.0) % 880.0 - 440.0) > 15.0
    assert spectrum[off_harmonics].max() < 0.003 * spectrum.max()


def _without_modulation(voice: LeadVoice) -> LeadVoice:
    return dataclasses.replace(
        voice, vibrato_cents=0.0, unison_cents=(0.0,), breath=0.0, glide_seconds=0.0
    )


@pytest.mark.parametrize("name", ["warm", "saws", "strings", "choir", "glass", "dark"])
def test_pads_are_in_tune(name: str) -> None:
    patch = draw_pad(np.random.default_rng(6), name)
    notes = [PlacedNote(0.0, 2.0, 57, 1.0)]
    _, opened = play_pad(np.random.default_rng(7), patch, notes, 2 * RATE_HZ, RATE_HZ)
    spectrum = np.abs(np.fft.rfft(opened * np.hanning(len(opened))))
    frequencies = np.fft.rfftfreq(len(opened), 1 / RATE_HZ)
    near = np.abs((frequencies + 110.0) % 220.0 - 110.0) < 12.0
    assert np.sum(spectrum[near] ** 2) > 0.97 * np.sum(spectrum**2)
