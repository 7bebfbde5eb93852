"""The figures that judge a codec, on audio whose answer is known."""

import numpy as np
import pytest
import torch

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate import audio_distance
from musicgen_rt.evaluate.codec import HELD_OUT_FIRST_SEED, evaluate_codec
from musicgen_rt.evaluate.codec_report import HeldOutClip, comparison_table
from musicgen_rt.train.codec_probe import high_band_db, si_sdr_db
from musicgen_rt.train.music import generate_clip

RATE_HZ = 32_000
SECONDS = 4


def melody(pitches: list[int]) -> np.ndarray:
    time = np.arange(RATE_HZ) / RATE_HZ
    notes = [
        np.exp(-3 * time) * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time)
        for pitch in pitches
    ]
    return (0.4 * np.concatenate(notes)).astype(np.float32)


class PassOn:
    """A codec that changes nothing but a gain and adds a hum; its codes use half of a book."""

    def __init__(self, gain: float = 1.0, hum: float = 0.0) -> None:
        self.gain, self.hum = gain, hum

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        self.audio = audio
        frames = audio.shape[-1] // 640
        return torch.arange(frames).remainder(8).expand(1, 2, frames)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        time = torch.arange(self.audio.shape[-1]) / RATE_HZ
        return self.gain * self.audio + self.hum * torch.sin(2 * torch.pi * 4000 * time)


def clip() -> HeldOutClip:
    rng = np.random.default_rng(0)
    samples = melody([60, 64, 67, 65]) + 0.001 * rng.standard_normal(SECONDS * RATE_HZ)
    return HeldOutClip(samples.astype(np.float32), RATE_HZ, ((0.0, 4.0),))


def test_an_unchanged_clip_gets_full_marks() -> None:
    report = evaluate_codec(PassOn(gain=0.9), [clip()], codebook_size=16, hop_samples=640)
    assert report.si_sdr_db > 60
    assert (report.chroma_agreement, report.onset_f) == (1.0, 1.0)
    assert report.log_mel_distance_db == pytest.approx(-20 * np.log10(0.9), abs=0.05)
    assert report.lowest_perplexity_part == pytest.approx(0.5, abs=0.01)
    assert report.lines_decoded_db == pytest.approx(report.lines_original_db, abs=0.01)


def test_a_hum_is_seen_as_a_line() -> None:
    report = evaluate_codec(PassOn(hum=0.003), [clip()], codebook_size=16, hop_samples=640)
    assert report.worst_line_decoded_db > report.worst_line_original_db + 20
    with pytest.raises(ParameterError):
        evaluate_codec(PassOn(), [], codebook_size=16, hop_samples=640)


def test_a_dull_codec_is_seen_in_the_table() -> None:
    unchanged, louder = (
        evaluate_codec(PassOn(gain=gain), [clip()], codebook_size=16, hop_samples=640)
        for gain in (1.0, 2.0)
    )
    assert louder.high_band_db == pytest.approx(20 * np.log10(2), abs=0.01)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in comparison_table({"same": unchanged, "loud": louder}).splitlines()
    ]
    assert [row[0] for row in rows] == ["codec", "---", "same", "loud", "the original"]
    assert len({len(row) for row in rows}) == 1
    assert [rows[2][-1], rows[3][-1]] == ["+0.00", "+6.02"]
    assert rows[2][5] == rows[4][5] == f"{unchanged.lines_original_db:.2f}"


def test_highs_are_compared_from_8_khz_up() -> None:
    rng = np.random.default_rng(2)
    original = rng.standard_normal(4 * RATE_HZ).astype(np.float32)
    spectrum = np.fft.rfft(original)
    spectrum[len(spectrum) // 2 :] /= 10
    dull = np.fft.irfft(spectrum).astype(np.float32)
    spectra = [audio_distance.power_spectrum(audio, RATE_HZ) for audio in (dull, original)]
    assert audio_distance.high_band_db(*spectra) == pytest.approx(-20, abs=0.1)
    ours, theirs = (torch.from_numpy(audio) for audio in (dull, original))
    assert high_band_db(ours, theirs) == pytest.approx(-20, abs=0.1)
    assert si_sdr_db(ours, theirs) == pytest.approx(
        audio_distance.si_sdr_db(dull, original), abs=1e-3
    )


def test_si_sdr_is_the_signal_to_noise_ratio_of_independent_noise() -> None:
    rng = np.random.default_rng(1)
    signal, noise = rng.standard_normal((2, 100_000)).astype(np.float32)
    assert audio_distance.si_sdr_db(3 * (signal + 0.1 * noise), signal) == pytest.approx(
        20, abs=0.1
    )


def test_chroma_hears_wrong_notes_only_where_it_is_asked() -> None:
    right, wrong = melody([60, 64, 67, 65]), melody([60, 64, 68, 65])
    agreeing, frames = audio_distance.chroma_agreement(wrong, right, RATE_HZ, [(0.3, 1.7)])
    assert (agreeing, frames) == (11, 11)
    agreeing, frames = audio_distance.chroma_agreement(wrong, right, RATE_HZ, [(2.3, 2.7)])
    assert agreeing == 0 < frames


def test_late_onsets_do_not_match() -> None:
    right = melody([60, 64, 67, 65])
    late = np.concatenate([np.zeros(RATE_HZ // 5, dtype=np.float32), right])[: len(right)]
    matched, found, expected = audio_distance.onset_counts(late, right, RATE_HZ)
    assert matched == 0 and found >= 3 and expected >= 3


def test_held_out_seeds_make_music() -> None:
    assert np.abs(generate_clip(HELD_OUT_FIRST_SEED, 2.0, RATE_HZ).samples).max() > 0.01
