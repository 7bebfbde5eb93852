"""From a knob to the ear: how long after a command the music in the recording is another.

What would have been heard without the command is known: a bank that is loaded again plays the same
music again, sample for sample but for the sound card's clock. So each trial loads it, sends one
command at a moment drawn at random, and looks for the first window in which the recording is not
the known one any more. Trials without a command in between show that nothing else makes it so.

What part the output has is measured by muting, which goes the same way but past the engine.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_rt.evaluate.jack_recording import JackRecording
from musicgen_rt.evaluate.jack_server import PERIOD_FRAMES, JackServer
from musicgen_rt.evaluate.latency_bench import SENT_SECONDS, Bench, TrialResult
from musicgen_rt.evaluate.stage import machine_name
from musicgen_rt.evaluate.stage_daemon import StageDaemon

Progress = Callable[[str, int, int], None]

TARGET_MS = 300.0
# The command that is timed: another seed changes the music from the first frame that it can reach.
KNOB = "another seed"
# What a performer plays with changes it when the model takes it up: at a drum's or a note's turn.
_MUSICAL_EVERY = 5
_CONTROL_EVERY = 10
_MUTES = 20


@dataclass(frozen=True)
class LatencySettings:
    """What is measured, and how often."""

    folder: Path
    model: str = "pocket"
    trials: int = 100
    seed: int = 0
    threads: int | None = None
    weights: str = "auto"
    period_frames: int = PERIOD_FRAMES


@dataclass
class Trials:
    """What the trials have shown."""

    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    answered_ms: list[float] = field(default_factory=list)
    muted_ms: list[float] = field(default_factory=list)
    spoilt: int = 0
    unheard: Counter[str] = field(default_factory=Counter)
    controls: int = 0
    false_alarms: int = 0

    @property
    def knob_ms(self) -> list[float]:
        return self.milliseconds.get(KNOB, [])


def evaluate_latency(settings: LatencySettings, progress: Progress) -> dict[str, Any]:
    """Measure; the report as JSON, its `complaints` empty if the target is met.

    Raises UnsupportedError without jackd or its client library, MusicgenRTError if the daemon does
    not do as it is told.
    """
    arguments = ["--output", "jack", "--model", settings.model, "--weights", settings.weights]
    if settings.threads is not None:
        arguments += ["--threads", str(settings.threads)]
    with JackServer(period_frames=settings.period_frames) as server:
        daemon = StageDaemon(settings.folder, *arguments, environment=server.environment)
        with daemon, JackRecording(server) as recording:
            first_sound_seconds = daemon.until_playing()
            recording.wait_for_sound()
            bench = Bench(daemon.client, recording)
            bench.prepare()
            trials = run_trials(bench, settings, progress)
            told = [one["latency_ms"] for one in daemon.events("ready") if "latency_ms" in one]
            status = daemon.client.status()
    return report_of(
        settings,
        trials,
        {
            "first_sound_seconds": first_sound_seconds,
            "device_ms": float(told[-1]) if told else 0.0,
            "steps_per_second": status.steps_per_second if status else 0.0,
            "underruns": status.underruns if status else -1,
        },
    )


def run_trials(bench: Bench, settings: LatencySettings, progress: Progress) -> Trials:
    """All trials on a bench that is prepared: mutes, commands, and in between none."""
    draw, trials = random.Random(settings.seed), Trials()
    for number in range(min(_MUTES, settings.trials)):
        progress("muting", number, min(_MUTES, settings.trials))
        muted_ms = bench.mute()
        trials.muted_ms += [] if muted_ms is None else [muted_ms]
    for number in range(settings.trials):
        progress("trials", number, settings.trials)
        seed = ("param/set/seed", draw.randrange(2**31))
        # What is timed, by which name it counts, and what lets go of it where a bank does not.
        commands: list[tuple[str, tuple[Any, ...], tuple[Any, ...] | None]] = [(KNOB, seed, None)]
        if number % _MUSICAL_EVERY == 0:
            pitch = draw.randrange(55, 80)
            commands.append(("drums off", ("attr/set", "drums", "off"), None))
            key = ("melody/note_on", pitch, 110), ("melody/note_off", pitch)
            commands.append(("a note", *key))
        for name, command, undone_by in commands:
            result = bench.trial(command, draw.uniform(*SENT_SECONDS), undone_by)
            count_trial(trials, name, result)
        if number % _CONTROL_EVERY == 0:
            control = bench.trial(None, draw.uniform(*SENT_SECONDS))
            trials.controls += int(not control.is_spoilt)
            trials.false_alarms += int(control.heard_ms is not None)
    return trials


def count_trial(trials: Trials, name: str, result: TrialResult) -> None:
    """Add one trial of a kind of command."""
    if result.is_spoilt:
        trials.spoilt += 1
    elif result.heard_ms is None or result.heard_ms <= 0:
        trials.unheard[name] += 1
    else:
        trials.milliseconds.setdefault(name, []).append(result.heard_ms)
    if result.answered_ms is not None:
        trials.answered_ms.append(result.answered_ms)


def report_of(settings: LatencySettings, trials: Trials, facts: dict[str, Any]) -> dict[str, Any]:
    """All figures and what is to be complained of."""
    total, muted = spread_ms(trials.knob_ms), spread_ms(trials.muted_ms)
    heard = len(trials.knob_ms)
    complaints = [] if total["p95"] <= TARGET_MS else [f"p95 is {total['p95']:.0f} ms"]
    for is_wrong, text in (
        (heard < settings.trials // 2, f"only {heard} of {settings.trials} trials could be judged"),
        (trials.false_alarms > 0, f"{trials.false_alarms} changes that nobody asked for"),
        (facts["underruns"] != 0, f"{facts['underruns']} underruns"),
    ):
        complaints += [text] if is_wrong else []
    return {
        "model": settings.model,
        "period_frames": settings.period_frames,
        "machine": machine_name(),
        "seed": settings.seed,
        **facts,
        "complaints": complaints,
        "target_p95_ms": TARGET_MS,
        "trials": settings.trials,
        "heard": heard,
        "unheard": dict(trials.unheard),
        "spoilt_by_jack": trials.spoilt,
        "controls": trials.controls,
        "false_alarms": trials.false_alarms,
        "knob_to_ear_ms": total,
        "by_kind_ms": {name: spread_ms(some) for name, some in trials.milliseconds.items()},
        "answered_ms": spread_ms(trials.answered_ms),
        "of_it_ms": {
            "device": facts["device_ms"],
            "horizon": max(0.0, muted["p50"] - facts["device_ms"]),
            "compute": max(0.0, total["p50"] - muted["p50"]),
        },
        "muting_ms": muted,
    }


def spread_ms(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum; 0 for no values."""
    some = np.array(values or [0.0])
    return {
        "p50": float(np.percentile(some, 50)),
        "p95": float(np.percentile(some, 95)),
        "max": float(some.max()),
    }
