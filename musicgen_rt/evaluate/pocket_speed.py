"""How fast the engine plays on this machine under all conditions, and how fast it is there."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from musicgen_rt.errors import CheckpointError
from musicgen_rt.evaluate.pocket_control import Stage
from musicgen_rt.evaluate.pocket_play import GUIDANCE, Told

_WARM_SECONDS = 4.0
_MEASURED_SECONDS = 10.0
_REPETITIONS = 3
_LOAD_LIMIT_SECONDS = 600


def evaluate_speed(stage: Stage, source: str, device: str, weights: str) -> dict[str, Any]:
    """x real time of model and codec with guidance, and seconds of a load in a fresh process."""
    player = stage.player
    [take] = stage.requests(1)
    seconds = _WARM_SECONDS + _REPETITIONS * _MEASURED_SECONDS
    player.begin(take.request, seconds, seed=stage.seed, told=Told())
    player.go_on(_WARM_SECONDS)
    speeds = []
    for repetition in range(_REPETITIONS):
        stage.watch("speed", repetition, 2 * _REPETITIONS)
        begun = time.perf_counter()
        player.go_on(_MEASURED_SECONDS)
        speeds.append(_MEASURED_SECONDS / (time.perf_counter() - begun))
    loads = []
    for repetition in range(_REPETITIONS):
        stage.watch("speed", _REPETITIONS + repetition, 2 * _REPETITIONS)
        loads.append(_load(source, device, weights))
    stage.watch("speed", 2 * _REPETITIONS, 2 * _REPETITIONS)
    return {
        "guidance": GUIDANCE,
        "x_real_time": round(statistics.median(speeds), 2),
        "x_real_time_each": [round(speed, 2) for speed in speeds],
        **{name: statistics.median(load[name] for load in loads) for name in loads[0]},
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _load(source: str, device: str, weights: str) -> dict[str, float]:
    """What a fresh process says of its load. Raises CheckpointError if it fails."""
    command = [sys.executable, "-m", "musicgen_rt.evaluate.pocket_load", source, device, weights]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_LOAD_LIMIT_SECONDS, check=False
    )
    if done.returncode != 0:
        last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckpointError(f"a fresh process could not load {source}: {last_line}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures
