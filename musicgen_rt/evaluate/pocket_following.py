"""How soon the model follows a host that changes its mind in mid-stream.

Each scenario is played from several held-out requests; its curve says, for every moment after the
change, in how many takes the music follows. The generator's own music, bent or joined so that it
follows at once, meets the same judges: what they need to notice is not the model's delay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from musicgen_rt.evaluate.pocket_bars import METERS, WINDOW_BEATS, beats_of
from musicgen_rt.evaluate.pocket_bend import bent, joined, steady_grid
from musicgen_rt.evaluate.pocket_control import CODEC, GENERATOR, MODEL, Stage
from musicgen_rt.evaluate.pocket_curve import Curve, share_curve
from musicgen_rt.evaluate.pocket_hearing import Array, listen
from musicgen_rt.evaluate.pocket_judges import Judges
from musicgen_rt.evaluate.pocket_lag import LAG_WINDOW_BEATS, lags_seconds
from musicgen_rt.evaluate.pocket_live import beat_at, live_takes, play_with_change
from musicgen_rt.evaluate.pocket_melody import FRAME_RATE_HZ, REST, asked_classes, heard_classes
from musicgen_rt.evaluate.pocket_pieces import Take
from musicgen_rt.evaluate.pocket_play import Event, Told, melody_of
from musicgen_rt.live.melody import Melody

STEP_BPM = (120.0, 128.0)
RAMP_BPM = (100.0, 140.0)
RAMP_SECONDS = 10.0
IN_TIME_SECONDS = 0.05

_STEP_TAKE_SECONDS = 26.0
_RAMP_TAKE_SECONDS = 32.0
_METER_TAKE_SECONDS = 36.0
_MELODY_TAKE_SECONDS = 26.0
# A host's ramp comes as many small steps.
_RAMP_EVERY_FRAMES = 10
_MELODY_BIN_SECONDS = 0.5
# Bending to the fastest tempo asked for takes so much more of the generator's music.
_BEND_PART = 1.6
_TEMPO_SEEDS, _METER_SEEDS, _WALTZ_SEEDS, _MELODY_SEEDS = 100_000, 200_000, 300_000, 400_000

BEATS_PER_BAR = METERS[1]
# The model's take against the melody that was taken from it: what must not be heard any more.
OLD_MELODY = "model_against_old_melody"


def evaluate_following(stage: Stage, takes: int) -> dict[str, Any]:
    """Every scenario that the model can be told, with its curve and seconds until followed."""
    scenarios: dict[str, Callable[[Stage, int], dict[str, Any]]] = {}
    if stage.player.has_clock:
        scenarios |= {"tempo_step": _tempo_step, "tempo_ramp": _tempo_ramp, "meter": _meter}
    if stage.player.has_melody:
        scenarios["melody"] = _melody
    report: dict[str, Any] = {"takes": takes}
    for index, (name, scenario) in enumerate(scenarios.items()):
        stage.watch("following", index, len(scenarios))
        report[name] = scenario(stage, takes)
    stage.watch("following", len(scenarios), len(scenarios))
    return report


def _tempo_step(stage: Stage, takes: int) -> dict[str, Any]:
    """One new tempo on a bar line."""

    def events(frame: int) -> list[Event]:
        return [_tempo_event(frame, STEP_BPM[1])]

    return _tempo_change(stage, takes, STEP_BPM, _STEP_TAKE_SECONDS, events)


def _tempo_ramp(stage: Stage, takes: int) -> dict[str, Any]:
    """A ramp that begins on a bar line."""
    frames = round(RAMP_SECONDS * stage.player.model.config.frame_rate_hz)
    low, high = RAMP_BPM

    def events(frame: int) -> list[Event]:
        steps = range(_RAMP_EVERY_FRAMES, frames + 1, _RAMP_EVERY_FRAMES)
        return [_tempo_event(frame + step, low + (high - low) * step / frames) for step in steps]

    report = _tempo_change(stage, takes, RAMP_BPM, _RAMP_TAKE_SECONDS, events)
    return {"ramp_seconds": RAMP_SECONDS, **report}


def _tempo_event(frame: int, bpm: float) -> Event:
    return Event(frame, lambda engine: engine.set_tempo(bpm))


def _tempo_change(
    stage: Stage,
    takes: int,
    bpm: tuple[float, float],
    seconds: float,
    events: Callable[[int], list[Event]],
) -> dict[str, Any]:
    sources = live_takes(
        stage,
        takes,
        _BEND_PART * seconds,
        meter=BEATS_PER_BAR,
        role="drums",
        seeds_later=_TEMPO_SEEDS,
    )
    lags: dict[str, list[Array]] = {MODEL: [], GENERATOR: [], CODEC: []}
    since = np.zeros(0)
    for index, source in enumerate(sources):
        steady = steady_grid(bpm[0], BEATS_PER_BAR, seconds)
        request = replace(source.request, bpm=bpm[0], grid=steady)
        played, change = play_with_change(
            stage, request, seconds, seed=index, told=Told(melody=False), events=events
        )
        grid = played.request.grid
        beat = beat_at(grid, change)
        lags[MODEL].append(lags_seconds(played, beat))
        true = bent(source, grid, seconds)
        lags[GENERATOR].append(lags_seconds(true, beat))
        lags[CODEC].append(lags_seconds(stage.through(true), beat))
        middles = beat + LAG_WINDOW_BEATS / 2 + np.arange(len(lags[MODEL][-1]))
        since = np.asarray(grid.seconds(middles)) - change
    return {"bpm": list(bpm)} | {name: _lag_report(rows, since) for name, rows in lags.items()}


def _lag_report(rows: Sequence[Array], since: Array) -> dict[str, Any]:
    in_time = [list(np.abs(row) <= IN_TIME_SECONDS) for row in rows]
    late = np.abs(np.concatenate(rows))
    median_ms = round(1000 * float(np.median(late)), 1) if len(late) else None
    return {"median_late_ms": median_ms, **share_curve(in_time, since.tolist()).to_json()}


def _meter(stage: Stage, takes: int) -> dict[str, Any]:
    """From bars of four beats to bars of three, on a bar line."""
    seconds, meters = _METER_TAKE_SECONDS, (BEATS_PER_BAR, METERS[0])
    sources = live_takes(
        stage, takes, seconds, meter=meters[0], role="drums", seeds_later=_METER_SEEDS
    )
    waltzes = live_takes(
        stage, takes, seconds, meter=meters[1], role="drums", seeds_later=_WALTZ_SEEDS
    )
    rows: dict[str, list[list[bool]]] = {MODEL: [], GENERATOR: [], CODEC: []}
    for index, (source, waltz) in enumerate(zip(sources, waltzes, strict=True)):
        bpm = source.request.bpm

        def events(frame: int, bpm: float = bpm) -> list[Event]:
            return [Event(frame, lambda engine: engine.set_tempo(bpm, meters[1]))]

        played, change = play_with_change(
            stage, source.request, seconds, seed=index, told=Told(melody=False), events=events
        )
        beat = beat_at(played.request.grid, change)
        rest = bent(waltz, steady_grid(bpm, meters[1], seconds), seconds - change)
        rows[MODEL].append(_waltz_windows(stage.judges, played, beat))
        true = joined(source, rest, change)
        rows[GENERATOR].append(_waltz_windows(stage.judges, true, beat))
        rows[CODEC].append(_waltz_windows(stage.judges, stage.through(true), beat))
    bar_seconds = meters[1] * 60.0 / float(np.median([take.request.bpm for take in sources]))
    half_window = WINDOW_BEATS / meters[1] / 2
    since = [bar_seconds * (bar + half_window) for bar in range(len(rows[MODEL][0]))]
    return {"beats_per_bar": list(meters)} | {
        name: share_curve(windows, since).to_json() for name, windows in rows.items()
    }


def _waltz_windows(judges: Judges, take: Take, change_beat: int) -> list[bool]:
    """Whether each twelve beats from the change on are rather bars of three than still of four."""
    beats = beats_of(listen(take), take.request.grid)
    last = beats.count - WINDOW_BEATS
    windows = []
    for first in range(change_beat, last + 1, METERS[0]):
        part = beats.cut(first, WINDOW_BEATS)
        new, old = (judges.bars.evidence(part, meter) for meter in METERS)
        assert new is not None and old is not None
        windows.append(bool(new[0] > old[(change_beat - first) % METERS[1]]))
    return windows


def _melody(stage: Stage, takes: int) -> dict[str, Any]:
    """From one melody to another, on a bar line."""
    seconds = _MELODY_TAKE_SECONDS
    sources = live_takes(
        stage, takes + 1, seconds, meter=BEATS_PER_BAR, role="lead", seeds_later=_MELODY_SEEDS
    )
    performers = (MODEL, GENERATOR, CODEC, OLD_MELODY)
    bins: dict[str, list[tuple[Array, Array]]] = {name: [] for name in performers}
    for index, (source, other) in enumerate(pairwise(sources)):
        notes = melody_of(other.request.melody, seconds)

        def events(frame: int, notes: Melody = notes) -> list[Event]:
            return [Event(frame, lambda engine: engine.set_melody(notes))]

        played, change = play_with_change(
            stage, source.request, seconds, seed=index, told=Told(), events=events
        )
        true = joined(source, other, change).cut(0.0, seconds)
        bins[MODEL].append(_agreement_by_bin(played.against(true.request), change))
        bins[GENERATOR].append(_agreement_by_bin(true, change))
        bins[CODEC].append(_agreement_by_bin(stage.through(true), change))
        bins[OLD_MELODY].append(_agreement_by_bin(played, change))
    return {name: _bin_curve(rows).to_json() for name, rows in bins.items()}


def _bin_curve(rows: Sequence[tuple[Array, Array]]) -> Curve:
    """The share of frames that agree, over all takes, in each bin."""
    count = min((len(frames) for _, frames in rows), default=0)
    agreeing = sum((ours[:count] for ours, _ in rows), np.zeros(count))
    frames = sum((asked[:count] for _, asked in rows), np.zeros(count))
    shares = agreeing / np.maximum(frames, 1.0)
    return Curve.of((_MELODY_BIN_SECONDS * (np.arange(count) + 0.5)).tolist(), shares.tolist())


def _agreement_by_bin(take: Take, change_seconds: float) -> tuple[Array, Array]:
    """(frames that agree, frames with a note) in each half second since the change."""
    heard, asked = heard_classes(take), asked_classes(take)
    first = round(change_seconds * FRAME_RATE_HZ)
    size = round(_MELODY_BIN_SECONDS * FRAME_RATE_HZ)
    bins = (min(len(heard), len(asked)) - first) // size
    part = slice(first, first + bins * size)
    sounds = (asked[part] != REST).reshape(bins, size)
    agrees = (heard[part] == asked[part]).reshape(bins, size) & sounds
    return agrees.sum(axis=1).astype(np.float64), sounds.sum(axis=1).astype(np.float64)
