"""Chroma from audio against transformers and librosa; chroma from notes against rendered audio."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import get_window
from transformers import MusicgenMelodyFeatureExtractor

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.chroma import (
    REST_CLASS,
    ChromaExtractor,
    ChromaParameters,
    Note,
    fit_length,
    notes_to_chroma,
    notes_to_frame_classes,
)

RATE_HZ = 32000
HOP_SECONDS = 0.128


@pytest.fixture(scope="module")
def extractor() -> ChromaExtractor:
    return ChromaExtractor()


@pytest.fixture(scope="module")
def reference() -> MusicgenMelodyFeatureExtractor:
    return MusicgenMelodyFeatureExtractor()


def render(notes: list[Note], seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Additive synthesis: six harmonics falling as 1/h, edges of 10 ms; float32 [N]."""
    signal = np.zeros(round(seconds * rate_hz))
    for note in notes:
        first, end = round(note.start_seconds * rate_hz), round(note.end_seconds * rate_hz)
        t = np.arange(end - first) / rate_hz
        f0 = 440.0 * 2 ** ((note.pitch - 69) / 12)
        tone = sum(np.sin(2 * np.pi * f0 * h * t) / h for h in range(1, 7) if f0 * h < rate_hz / 2)
        fade = np.minimum(1, np.minimum(t, t[::-1]) / 0.01)
        signal[first:end] += 0.2 * note.velocity / 127 * tone * fade
    return signal.astype(np.float32)


def melody(pitches: list[int], seconds_each: float) -> list[Note]:
    return [
        Note(pitch, i * seconds_each, (i + 1) * seconds_each) for i, pitch in enumerate(pitches)
    ]


def random_pitches(count: int, seed: int) -> list[int]:
    """A walk in 48-83 in which no two neighbours share a pitch class."""
    rng = np.random.default_rng(seed)
    pitches = [60]
    while len(pitches) < count:
        pitch = int(rng.integers(48, 84))
        if pitch % 12 != pitches[-1] % 12:
            pitches.append(pitch)
    return pitches


@pytest.mark.parametrize("num_samples", [1, 5000, 16383, 16384, 40961, 200_000])
def test_extract_equals_transformers(
    extractor: ChromaExtractor, reference: MusicgenMelodyFeatureExtractor, num_samples: int
) -> None:
    rng = np.random.default_rng(num_samples)
    noise = 0.1 * rng.standard_normal(num_samples).astype(np.float32)
    expected = reference(noise, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"][0]
    assert torch.equal(extractor.extract(noise, RATE_HZ), expected)


def test_extract_equals_transformers_on_music_of_thirty_seconds(
    extractor: ChromaExtractor, reference: MusicgenMelodyFeatureExtractor
) -> None:
    music = render(melody(random_pitches(60, seed=1), 0.5), 30.0)
    expected = reference(music, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"][0]
    actual = extractor.extract(music, RATE_HZ)
    assert actual.shape == (235, 12)
    assert torch.equal(actual, expected)


def test_extract_with_other_parameters_equals_librosa() -> None:
    """A second reference: librosa's filter bank on a spectrum by numpy."""
    parameters = ChromaParameters(sample_rate_hz=16000, n_fft=4096, hop_samples=1024)
    music = render(melody(random_pitches(8, seed=2), 0.4), 3.2, 16000)
    padded = np.pad(music, 2048, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 4096)[::1024]
    spectrum = np.fft.rfft(frames * get_window("hann", 4096))
    bank = librosa.filters.chroma(sr=16000, n_fft=4096, tuning=0)
    expected = (np.abs(spectrum) ** 2 @ bank.T).argmax(axis=1)
    actual = ChromaExtractor(parameters).extract(music, 16000).argmax(dim=1)
    assert actual.tolist() == expected.tolist()


def test_harmonic_tones_land_on_their_pitch_class(extractor: ChromaExtractor) -> None:
    for pitch in range(24, 97, 3):
        tone = render([Note(pitch, 0.0, 1.0)], 1.0)
        classes = extractor.extract(tone, RATE_HZ).argmax(dim=1)
        # The mirrored edge of a tone this low, at frame 0, is not periodic.
        assert set(classes[1:].tolist()) == {pitch % 12}, pitch


def test_silence_is_class_zero_and_a_rest(extractor: ChromaExtractor) -> None:
    silence = np.zeros(RATE_HZ, np.float32)
    assert extractor.extract(silence, RATE_HZ)[:, 0].eq(1).all()
    assert extractor.pitch_classes(silence, RATE_HZ).eq(REST_CLASS).all()


def test_pitch_classes_tell_rests_from_c(extractor: ChromaExtractor) -> None:
    sound = render([Note(60, 0.0, 2.0), Note(64, 4.0, 6.0)], 6.0)
    classes = extractor.pitch_classes(sound, RATE_HZ)
    assert classes[:15].eq(0).all()
    assert classes[18:29].eq(REST_CLASS).all()
    assert classes[34:].eq(4).all()


@pytest.mark.parametrize("rate_hz", [44100, 48000, 22050])
def test_other_rates_are_resampled(extractor: ChromaExtractor, rate_hz: int) -> None:
    notes = melody([60, 62, 64, 65], 1.0)
    native = extractor.extract(render(notes, 4.0), RATE_HZ)
    actual = extractor.extract(render(notes, 4.0, rate_hz), rate_hz)
    assert torch.equal(actual, native)
    expected = soxr.resample(render(notes, 4.0, rate_hz), rate_hz, RATE_HZ)
    assert torch.equal(actual, extractor.extract(expected, RATE_HZ))


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.float32), np.zeros((2, 9), np.float32), np.array([np.nan], np.float32)],
)
def test_extract_refuses(extractor: ChromaExtractor, samples: np.ndarray) -> None:
    with pytest.raises(ParameterError):
        extractor.extract(samples, RATE_HZ)


def changes_near(notes: list[Note], seconds: float) -> bool:
    """Is there a note edge within one hop?"""
    edges = {edge for note in notes for edge in (note.start_seconds, note.end_seconds)}
    return any(abs(edge - seconds) <= HOP_SECONDS for edge in edges)


@pytest.mark.parametrize(
    ("seconds_each", "at_least"),
    [(2.0, 0.98), (0.5, 0.98), (0.25, 0.95)],  # 0.25 s: eighths at 120 BPM
)
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_notes_give_the_chroma_of_their_audio(
    extractor: ChromaExtractor, seconds_each: float, at_least: float, seed: int
) -> None:
    notes = melody(random_pitches(round(16 / seconds_each), seed), seconds_each)
    from_audio = extractor.extract(render(notes, 16.0), RATE_HZ)
    from_notes = notes_to_chroma(notes, 0.0, len(from_audio))
    equal = (from_audio == from_notes).all(dim=1)
    assert equal.float().mean() >= at_least
    for frame in (~equal).nonzero().flatten().tolist():
        assert changes_near(notes, frame * HOP_SECONDS)
        around = from_audio[max(0, frame - 1) : frame + 2]
        assert (around == from_notes[frame]).all(dim=1).any(), "off by more than a frame"


def test_notes_with_rests_and_velocities_agree_with_their_audio(
    extractor: ChromaExtractor,
) -> None:
    """Notes of other loudness and with gaps; frames that no window reaches are left out."""
    notes = [
        Note(60, 0.0, 0.9, 127),
        Note(67, 1.0, 1.5, 50),
        Note(64, 2.5, 3.1, 90),
        Note(69, 3.1, 4.0, 20),
        Note(62, 4.0, 5.9, 110),
    ]
    from_audio = extractor.pitch_classes(render(notes, 6.0), RATE_HZ)
    from_notes = notes_to_chroma(notes, 0.0, len(from_audio)).argmax(dim=1)
    sounding = from_audio != REST_CLASS
    agreement = (from_audio == from_notes)[sounding].float().mean()
    assert agreement >= 0.95


def test_window_start_shifts_the_grid() -> None:
    notes = melody(random_pitches(40, seed=6), 0.37)
    whole = notes_to_chroma(notes, 0.0, 100)
    assert torch.equal(notes_to_chroma(notes, 20 * HOP_SECONDS, 80), whole[20:])


def test_rest_policies() -> None:
    notes = [Note(64, 1.0, 2.0), Note(67, 4.0, 5.0)]
    held = notes_to_chroma(notes, 0.0, 48).argmax(dim=1).tolist()
    null = notes_to_chroma(notes, 0.0, 48, rest="null").argmax(dim=1).tolist()
    assert held[:5] == null[:5] == [0] * 5  # before the first note
    assert held[18:29] == [4] * 11  # 2.3 s to 3.6 s: E goes on
    assert null[18:29] == [0] * 11
    assert held[42:] == [7] * 6
    with pytest.raises(ParameterError, match="hold or null"):
        notes_to_chroma(notes, 0.0, 4, rest="drone")  # type: ignore[arg-type]


def test_no_notes_is_the_null_melody() -> None:
    assert notes_to_chroma([], 0.0, 235)[:, 0].eq(1).all()
    assert notes_to_chroma([], 0.0, 0).shape == (0, 12)


def test_many_notes_in_long_windows_equal_short_windows() -> None:
    notes = melody(random_pitches(400, seed=7), 0.21)
    whole = notes_to_chroma(notes, 0.0, 600)
    pieces = [notes_to_chroma(notes, i * HOP_SECONDS, 60) for i in range(0, 600, 60)]
    assert torch.equal(whole, torch.cat(pieces))


@settings(max_examples=50, deadline=None)
@given(length=st.integers(1, 40), start=st.integers(0, 200), wanted=st.integers(0, 90))
def test_fit_length_is_periodic(length: int, start: int, wanted: int) -> None:
    chroma = torch.arange(length * 12.0).view(length, 12)
    tiled = np.tile(chroma.numpy(), (300 // length + 1, 1))
    expected = tiled[start : start + wanted]
    assert np.array_equal(fit_length(chroma, start, wanted).numpy(), expected)


def test_fit_length_refuses_empty_chroma() -> None:
    with pytest.raises(ParameterError, match="no rows"):
        fit_length(torch.zeros(0, 12), 0, 4)


def test_frame_classes_by_hand() -> None:
    notes = [Note(60, 0.0, 0.10), Note(64, 0.06, 0.14), Note(62, 0.2, 0.21)]
    # 50 Hz frames are centred at 0.01, 0.03, ...; [0.2, 0.21) holds no centre
    expected = [0, 0, 0, 4, 4, 4, 4, REST_CLASS, REST_CLASS, REST_CLASS, REST_CLASS]
    assert notes_to_frame_classes(notes, 50.0, 0, 11).tolist() == expected
    assert notes_to_frame_classes(notes, 50.0, 4, 4).tolist() == expected[4:8]
    assert notes_to_frame_classes(notes, 50.0, -2, 4).tolist() == [12, 12, 0, 0]


@settings(max_examples=60, deadline=None)
@given(
    raw=st.lists(st.tuples(st.integers(36, 90), st.integers(0, 300), st.integers(1, 80))),
    start=st.integers(-20, 200),
)
def test_frame_classes_against_a_plain_search(raw: list[tuple[int, int, int]], start: int) -> None:
    notes = [Note(pitch, first / 77, (first + length) / 77) for pitch, first, length in raw]
    for i, actual in enumerate(notes_to_frame_classes(notes, 50.0, start, 40).tolist()):
        centre = (start + i + 0.5) / 50
        pitches = [n.pitch for n in notes if n.start_seconds <= centre < n.end_seconds]
        assert actual == (max(pitches) % 12 if pitches else REST_CLASS)
