"""Playing for a host that changes its mind: requests, the moment of change, the clock as asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from musicgen_rt.evaluate.pocket_control import SEEDS_APART, Stage
from musicgen_rt.evaluate.pocket_pieces import (
    REQUEST_FIRST_SEED,
    Request,
    Take,
    held_out_takes,
    is_steady,
)
from musicgen_rt.evaluate.pocket_play import Event, Told
from musicgen_rt.live.engine import Engine
from musicgen_rt.train.music import Caption
from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.plan import SongPlan

CHANGE_AFTER_SECONDS = 10.0
# Stated in a prompt, these would speak against the change.
_CHANGING_FACTS = {"bpm", "tempo", "beats_per_bar"}
_BPM_RANGE = (90.0, 140.0)


def live_takes(
    stage: Stage, count: int, seconds: float, *, meter: int, role: str, seeds_later: int
) -> list[Take]:
    """Held-out takes in which a role plays, at a middling tempo that the prompt does not state."""
    first = REQUEST_FIRST_SEED + SEEDS_APART * stage.seed + seeds_later
    wanted = partial(_is_wanted, meter=meter, role=role)
    return list(held_out_takes(first, count, seconds, is_wanted=wanted, is_said=_leaves_time_open))


def _is_wanted(plan: SongPlan, meter: int, role: str) -> bool:
    low, high = _BPM_RANGE
    fits = plan.beats_per_bar == meter and role in plan.roles and low <= plan.nominal_bpm <= high
    return fits and is_steady(plan)


def _leaves_time_open(caption: Caption) -> bool:
    return "style" in caption.facts and not _CHANGING_FACTS & caption.facts.keys()


def play_with_change(
    stage: Stage,
    request: Request,
    seconds: float,
    *,
    seed: int,
    told: Told,
    events: Callable[[int], list[Event]],
) -> tuple[Take, float]:
    """The model's take, its clock as it was asked for in the end, and the second of the change.

    The change falls on the first bar line after ten seconds; `events` are told its frame.
    """
    player = stage.player
    player.begin(request, seconds, seed=stage.seed + seed, told=told)
    rate_hz = player.model.config.frame_rate_hz
    frame = _bar_line(player.engine, round(CHANGE_AFTER_SECONDS * rate_hz))
    samples = player.go_on(seconds, events(frame))
    grid = asked_grid(player.engine, seconds, request.grid.beats_per_bar)
    asked = replace(request, grid=grid)
    return Take(asked, samples, player.model.config.sampling_rate_hz), frame / rate_hz


def beat_at(grid: BeatGrid, seconds: float) -> int:
    """The beat that falls on a moment."""
    return round(float(grid.beats(seconds)))


def _bar_line(engine: Engine, frame: int) -> int:
    timeline = engine.timeline
    return frame if timeline is None else timeline.next_bar_start_at_or_after(frame)


def asked_grid(engine: Engine, seconds: float, beats_per_bar: int) -> BeatGrid:
    """The beats that the engine was told, from its own timeline."""
    timeline, rate_hz = engine.timeline, engine.model.config.frame_rate_hz
    assert timeline is not None
    beats = int(np.ceil(timeline.beat_at(seconds * rate_hz))) + beats_per_bar
    edges = tuple(timeline.frame_at(beat) / rate_hz for beat in range(beats + 1))
    return BeatGrid(edges, beats_per_bar)
