"""Ten minutes on end: does it stay loud, stay music and stay in time?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.pocket_bend import steady_grid
from musicgen_rt.evaluate.pocket_control import Stage
from musicgen_rt.evaluate.pocket_hearing import Array, listen
from musicgen_rt.evaluate.pocket_pieces import Request, Samples, Take
from musicgen_rt.evaluate.pocket_play import Told

STRETCH_SECONDS = 30.0
TEMPO_SECONDS = 12.0
LOUDNESS_RANGE_DB = 6.0
# A bar so far below the median is silent, whatever the music.
_SILENT_BELOW_MEDIAN_DB = 30.0
_SILENCE_DB = -60.0
_FFT_SAMPLES = 8192
_TEMPO_STRETCHES = 5
_REPEAT_SECONDS = 1.0
_DRUMMED_PART = 0.6
_CANDIDATES_PER_TAKE = 12


def evaluate_endless(stage: Stage, prompts: int, minutes: float) -> dict[str, Any]:
    """Plays each prompt for so long; figures of each, and the worst of all."""
    takes = [
        _endless_take(stage, request, 60.0 * minutes, index, prompts)
        for index, request in enumerate(_requests(stage, prompts))
    ]
    stage.watch("endless", prompts, prompts)
    return {"minutes": minutes, "worst": _worst(takes), "takes": takes}


def _requests(stage: Stage, count: int) -> list[Request]:
    """Requests of different styles as far as there are enough, three of five with drums."""
    drummed = round(_DRUMMED_PART * count)
    room = {True: drummed, False: count - drummed}
    chosen: list[Request] = []
    candidates = [take.request for take in stage.requests(_CANDIDATES_PER_TAKE * count)]
    for is_choosy in (True, False):
        for request in candidates:
            is_new = request not in chosen
            fits = not is_choosy or request.style not in [other.style for other in chosen]
            if is_new and fits and room[request.has_drums]:
                room[request.has_drums] -= 1
                chosen.append(request)
    return chosen


def _endless_take(
    stage: Stage, request: Request, seconds: float, index: int, prompts: int
) -> dict[str, Any]:
    player = stage.player
    meter = request.grid.beats_per_bar
    request = replace(request, grid=steady_grid(request.bpm, meter, seconds + STRETCH_SECONDS))
    player.begin(request, seconds, seed=stage.seed + index, told=Told(melody=False))
    stretches = max(1, round(seconds / STRETCH_SECONDS))
    samples: list[Samples] = []
    repeats = RepeatCounter(round(_REPEAT_SECONDS * player.model.config.frame_rate_hz))
    made_frames = 0
    for stretch in range(stretches):
        stage.watch("endless", index * stretches + stretch, prompts * stretches)
        samples.append(player.go_on(seconds / stretches))
        ready = player.engine.next_frame - max(player.model.config.lm.delays)
        repeats.feed(player.engine.codes(made_frames, ready)[0])
        made_frames = ready
    take = Take(request, np.concatenate(samples), player.model.config.sampling_rate_hz)
    return {
        "prompt": request.prompt,
        "bpm": request.bpm,
        "drums": request.has_drums,
        **bar_figures(take),
        **colour_figures(take),
        **_end_tempo(stage, take),
        "repeated_second_share": round(repeats.share, 4),
    }


def bar_figures(take: Take) -> dict[str, Any]:
    """Loudness of every whole bar against their median, in dB, and how many are silent."""
    levels = _bar_levels_db(take)
    median = float(np.median(levels))
    off = np.abs(levels - median)
    silent = levels < max(_SILENCE_DB, median - _SILENT_BELOW_MEDIAN_DB)
    return {
        "bars": len(levels),
        "bar_loudness_median_db": round(median, 2),
        "bars_within_6_db": round(float((off <= LOUDNESS_RANGE_DB).mean()), 4),
        "bar_loudness_furthest_db": round(float(off.max()), 2),
        "silent_bars": int(silent.sum()),
    }


def colour_figures(take: Take) -> dict[str, Any]:
    """Each stretch's entropy of pitch classes in bits (0-3.58), spectral flatness and level."""
    size = round(STRETCH_SECONDS * take.rate_hz)
    count = max(1, len(take.samples) // size)
    pieces = [take.samples[i * size : (i + 1) * size] for i in range(count)]
    entropy = [pitch_class_entropy_bits(piece, take.rate_hz) for piece in pieces]
    flatness = [float(np.median(librosa.feature.spectral_flatness(y=p))) for p in pieces]
    return {
        "pitch_class_entropy_bits": [round(value, 3) for value in entropy],
        "pitch_class_entropy_last_to_first": _last_to_first(entropy),
        "spectral_flatness": [round(value, 5) for value in flatness],
        "spectral_flatness_last_to_first": _last_to_first(flatness),
        "level_db": [round(_level_db(piece), 2) for piece in pieces],
    }


def pitch_class_entropy_bits(samples: Samples, rate_hz: int) -> float:
    """How evenly the twelve pitch classes share the energy: 0 for one, 3.58 for all alike."""
    spectrum = np.abs(librosa.stft(samples, n_fft=_FFT_SAMPLES, hop_length=_FFT_SAMPLES // 2)) ** 2
    chroma = librosa.feature.chroma_stft(S=spectrum, sr=rate_hz, norm=None, tuning=0.0)
    shares = chroma.sum(axis=1) / max(float(chroma.sum()), 1e-12)
    return float(-(shares * np.log2(np.maximum(shares, 1e-12))).sum())


class RepeatCounter:
    """How much of a stream of codes has been there before, exactly, for a whole stretch."""

    def __init__(self, stretch_frames: int) -> None:
        self._stretch = stretch_frames
        self._seen: set[bytes] = set()
        self._tail = np.zeros(0, dtype=np.int64)
        self._repeated = 0
        self._stretches = 0

    def feed(self, codes: NDArray[np.int64]) -> None:
        """The next codes [T] of one codebook."""
        stream = np.concatenate([self._tail, codes])
        for start in range(len(stream) - self._stretch + 1):
            key = stream[start : start + self._stretch].tobytes()
            self._repeated += key in self._seen
            self._stretches += 1
            self._seen.add(key)
        self._tail = stream[max(0, len(stream) - self._stretch + 1) :]

    @property
    def share(self) -> float:
        """The share of stretches that are a repetition."""
        return self._repeated / max(self._stretches, 1)


def _bar_levels_db(take: Take) -> Array:
    """The level of each whole bar of the asked clock."""
    grid = take.request.grid
    bars = int(float(grid.beats(take.seconds)) // grid.beats_per_bar)
    lines = np.asarray(grid.seconds(np.arange(bars + 1) * grid.beats_per_bar)) * take.rate_hz
    edges = np.round(lines).astype(np.int64)
    return np.array([_level_db(take.samples[a:b]) for a, b in pairwise(edges)])


def _level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


def _last_to_first(values: Sequence[float]) -> float:
    """The last third's median by the first third's."""
    third = max(1, len(values) // 3)
    return round(float(np.median(values[-third:]) / max(np.median(values[:third]), 1e-9)), 3)


def _end_tempo(stage: Stage, take: Take) -> dict[str, Any]:
    """The tempo heard in the last minute, and how far its beats are from the asked ones."""
    count = min(_TEMPO_STRETCHES, int(take.seconds // TEMPO_SECONDS))
    starts = [take.seconds - TEMPO_SECONDS * (count - index) for index in range(count)]
    ends = [_from_its_bar(take, start) for start in starts]
    heard = [(end, listen(end)) for end in ends]
    guesses = [stage.judges.tempo.guess(*pair).bpm for pair in heard]
    lates = [stage.judges.phase.late_seconds(*pair) for pair in heard]
    known = [abs(late) for late in lates if late is not None]
    bpm = float(np.median(guesses)) if guesses else None
    return {
        "end_bpm": None if bpm is None else round(bpm, 2),
        "end_tempo_error": None if bpm is None else round(abs(bpm / take.request.bpm - 1), 4),
        "end_phase_ms": round(1000 * float(np.median(known)), 1) if known else None,
    }


def _from_its_bar(take: Take, start_seconds: float) -> Take:
    """The stretch from the bar line before a moment on."""
    grid = take.request.grid
    bar = np.floor(float(grid.beats(start_seconds)) / grid.beats_per_bar)
    return take.cut(max(0.0, float(grid.seconds(bar * grid.beats_per_bar))), TEMPO_SECONDS)


def _worst(takes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of every figure that has a worse side, the worst."""
    errors = [take["end_tempo_error"] for take in takes if take["end_tempo_error"] is not None]
    return {
        "bars_within_6_db": min(take["bars_within_6_db"] for take in takes),
        "silent_bars": sum(take["silent_bars"] for take in takes),
        "end_tempo_error": max(errors) if errors else None,
        "end_tempo_error_median": float(np.median(errors)) if errors else None,
        "pitch_class_entropy_last_to_first": min(
            take["pitch_class_entropy_last_to_first"] for take in takes
        ),
        "spectral_flatness_last_to_first": [
            min(take["spectral_flatness_last_to_first"] for take in takes),
            max(take["spectral_flatness_last_to_first"] for take in takes),
        ],
        "repeated_second_share": max(take["repeated_second_share"] for take in takes),
    }
