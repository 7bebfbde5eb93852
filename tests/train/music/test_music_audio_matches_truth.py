"""What librosa hears in the audio is what the truth says is there."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np

from musicgen_rt.train.music import Clip, frame_labels, generate_clip

RATE_HZ = 32000
SECONDS = 8.0
NEAR_SECONDS = 0.04


def _onsets(clip: Clip) -> np.ndarray:
    return librosa.onset.onset_detect(
        y=clip.samples, sr=RATE_HZ, hop_length=256, units="time", backtrack=False
    )


def _share_near(times: np.ndarray, targets: np.ndarray) -> float:
    """The share of `times` with a target near by."""
    distance = np.abs(times[:, None] - targets[None]).min(axis=1)
    return float(np.mean(distance < NEAR_SECONDS))


def _drum_clips(find_seeds: Callable[..., list[int]], number: int) -> list[Clip]:
    seeds = find_seeds(
        lambda p: p.roles == {"drums"} and p.style.name not in ("ambient", "lo-fi hip hop"),
        SECONDS,
        number,
    )
    return [generate_clip(seed, SECONDS) for seed in seeds]


def test_drum_onsets_are_drum_hits(find_seeds: Callable[..., list[int]]) -> None:
    shares = []
    for clip in _drum_clips(find_seeds, 6):
        hits = np.array([hit.start_seconds for hit in clip.truth.drum_hits])
        shares.append(_share_near(_onsets(clip), hits))
    assert min(shares) > 0.85
    assert np.mean(shares) > 0.95


def test_onset_strength_peaks_on_true_beats(find_seeds: Callable[..., list[int]]) -> None:
    """Against beats moved by a third of a beat, which no style plays on (swing included)."""
    wins = []
    for clip in _drum_clips(find_seeds, 8):
        strength = librosa.onset.onset_strength(y=clip.samples, sr=RATE_HZ, hop_length=256)
        beats = np.array(clip.truth.beats)
        moved = beats + 0.37 * 60.0 / clip.truth.bpm
        wins.append(_mean_peak(strength, beats) > 1.5 * _mean_peak(strength, moved))
    assert np.mean(wins) > 0.85


def _mean_peak(strength: np.ndarray, times: np.ndarray) -> float:
    """The mean over `times` of the highest strength within two frames."""
    frames = (times * RATE_HZ / 256).astype(int)
    frames = frames[(frames > 2) & (frames < len(strength) - 3)]
    return float(np.mean([strength[frame - 2 : frame + 3].max() for frame in frames]))


def test_chroma_of_a_lone_lead_is_its_pitch_class(find_seeds: Callable[..., list[int]]) -> None:
    agreements = []
    for seed in find_seeds(lambda plan: plan.roles == {"lead"}, SECONDS, 8):
        clip = generate_clip(seed, SECONDS)
        chroma = librosa.feature.chroma_stft(
            y=clip.samples, sr=RATE_HZ, n_fft=4096, hop_length=640, tuning=0.0
        )
        labels = frame_labels(clip.truth, chroma.shape[1]).lead_pitch_class
        sounding = labels < 12
        agreements.append(float(np.mean(chroma.argmax(axis=0)[sounding] == labels[sounding])))
    # Reverb and echo keep the last note sounding, so a few frames of each note are its neighbour's.
    assert np.mean(agreements) > 0.85
    assert min(agreements) > 0.65


def test_chroma_of_a_lone_pad_is_its_chords(find_seeds: Callable[..., list[int]]) -> None:
    agreements = []
    for seed in find_seeds(lambda plan: plan.roles == {"pad"}, SECONDS, 5):
        clip = generate_clip(seed, SECONDS)
        chroma = librosa.feature.chroma_stft(
            y=clip.samples, sr=RATE_HZ, n_fft=8192, hop_length=3200, tuning=0.0
        )
        for chord in clip.truth.chords:
            first, last = (int(t * 10) for t in (chord.start_seconds, chord.end_seconds))
            if last - first >= 6:
                strongest = chroma[:, first + 4 : last].mean(axis=1).argmax()
                agreements.append(strongest in chord.pitch_classes)
    assert len(agreements) > 8
    assert np.mean(agreements) > 0.9


def test_a_lone_bass_sounds_its_notes(find_seeds: Callable[..., list[int]]) -> None:
    agreements = []
    for seed in find_seeds(lambda plan: plan.roles == {"bass"}, SECONDS, 4):
        clip = generate_clip(seed, SECONDS)
        cqt = np.abs(
            librosa.cqt(y=clip.samples, sr=RATE_HZ, fmin=librosa.midi_to_hz(24), n_bins=84)
        )
        chroma = librosa.feature.chroma_cqt(C=cqt, bins_per_octave=12, fmin=librosa.midi_to_hz(24))
        frames = librosa.times_like(cqt, sr=RATE_HZ)
        for note in clip.truth.bass_notes:
            inside = (frames > note.start_seconds + 0.05) & (frames < note.end_seconds)
            if note.end_seconds - note.start_seconds > 0.25 and inside.any():
                strongest = chroma[:, inside].mean(axis=1).argmax()
                agreements.append(strongest == note.pitch % 12)
    assert len(agreements) > 10
    assert np.mean(agreements) > 0.8


def test_drumless_clips_have_no_kicks_or_hats(find_seeds: Callable[..., list[int]]) -> None:
    """Percussive energy, as median filtering splits it, is small against that of drum clips."""
    drumless = find_seeds(lambda plan: plan.roles in ({"pad"}, {"pad", "lead"}), SECONDS, 4)
    ratios = [_percussive_share(generate_clip(seed, SECONDS)) for seed in drumless]
    drums = [_percussive_share(clip) for clip in _drum_clips(find_seeds, 4)]
    assert max(ratios) < 0.5 * min(drums)


def _percussive_share(clip: Clip) -> float:
    spectrum = librosa.stft(clip.samples, n_fft=2048, hop_length=512)
    harmonic, percussive = librosa.decompose.hpss(spectrum)
    total = float(np.sum(np.abs(harmonic) ** 2) + np.sum(np.abs(percussive) ** 2))
    return float(np.sum(np.abs(percussive) ** 2)) / total
