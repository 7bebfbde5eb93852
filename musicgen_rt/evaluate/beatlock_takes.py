"""What is judged: a model, or a stand-in for one, played on a session's beats, locked and not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate.beatlock_drums import RATE_HZ, DrumLoop
from musicgen_rt.live.beat_follower import BeatFollower, LockReport
from musicgen_rt.live.engine import Engine
from musicgen_rt.model.musicgen import MusicGen

Samples = NDArray[np.float32]
Progress = Callable[[int, int], None]

# Without drums a beat tracker guesses: they are asked for where that is possible.
DRUMS = "drums"

_STAND_IN_HOP = 640
_CHUNK_FRAMES = 16
_RAMP_STEP_FRAMES = 25
_DRIFT_SECONDS = 37.0


@dataclass(frozen=True)
class Course:
    """The session's tempo over time: `tempi` are (second, bpm), steps; the first is at 0."""

    name: str
    tempi: tuple[tuple[float, float], ...]

    def timeline(self, frame_rate_hz: float = 50.0) -> Timeline:
        """As a timeline over frames from 0 on."""
        timeline = Timeline.start(self.tempi[0][1], frame_rate_hz=frame_rate_hz)
        for second, bpm in self.tempi[1:]:
            timeline = timeline.with_tempo(round(second * frame_rate_hz), bpm=bpm)
        return timeline


def steady(bpm: float) -> Course:
    """One tempo."""
    return Course(f"{bpm:g}", ((0.0, bpm),))


def step(from_bpm: float, to_bpm: float, at_second: float) -> Course:
    """Another tempo from a moment on."""
    return Course(f"{from_bpm:g} to {to_bpm:g}", ((0.0, from_bpm), (at_second, to_bpm)))


def ramp(from_bpm: float, to_bpm: float, seconds: float) -> Course:
    """A tempo that changes evenly over the middle third of some seconds."""
    begin, length = seconds / 3, seconds / 3
    times = np.arange(0.0, length, _RAMP_STEP_FRAMES / 50) + begin
    bpms = np.linspace(from_bpm, to_bpm, len(times) + 1)[1:]
    steps = ((float(time), float(bpm)) for time, bpm in zip(times, bpms, strict=True))
    return Course(f"{from_bpm:g} ramped to {to_bpm:g}", ((0.0, from_bpm), *steps))


@dataclass(frozen=True)
class Take:
    """Mono `samples` [N] as they are heard from frame 0 of `timeline` on; the lock at its end."""

    samples: Samples
    rate_hz: int
    timeline: Timeline
    lock: LockReport


def stand_in_take(loop: DrumLoop, course: Course, seconds: float, *, is_locked: bool) -> Take:
    """A stand-in that knows nothing of the session's beats."""
    timeline = course.timeline()
    follower = BeatFollower(RATE_HZ, 1, _STAND_IN_HOP, is_told=False)
    follower.is_on = is_locked
    # What is hastened is used up sooner.
    made = loop.render(1.07 * seconds + 2.0)
    parts, count = [], 0
    for first in range(0, made.shape[1], _CHUNK_FRAMES * _STAND_IN_HOP):
        chunk = made[:, first : first + _CHUNK_FRAMES * _STAND_IN_HOP]
        parts.append(follower.push(chunk, timeline, timeline)[0])
        count += len(parts[-1])
        if count >= seconds * RATE_HZ:
            break
    samples = np.concatenate(parts)[: round(seconds * RATE_HZ)]
    return Take(samples, RATE_HZ, timeline, follower.report())


def drifting(bpm: float) -> DrumLoop:
    """The stand-in of the reports: its tempo wanders by 2 % either way, and it begins off beat."""
    return DrumLoop(
        bpm=bpm,
        wander=0.02,
        wander_seconds=_DRIFT_SECONDS,
        start_seconds=0.11,
        jitter_seconds=0.003,
    )


def model_take(
    model: MusicGen,
    prompt: str,
    course: Course,
    seconds: float,
    *,
    is_locked: bool,
    seed: int,
    progress: Progress,
) -> Take:
    """A model. Unlocked it has the tempo in its prompt and is told nothing else."""
    config = model.config
    timeline = course.timeline(config.frame_rate_hz)
    engine = Engine(model)
    engine.set_parameter("seed", seed)
    engine.set_prompt(f"{prompt}, {course.tempi[0][1]:g} bpm")
    if is_locked:
        for second, bpm in course.tempi:
            engine.set_tempo(bpm, at_frame=round(second * config.frame_rate_hz))
    conditioning = config.frame_conditioning
    if conditioning is not None and DRUMS in conditioning.attributes:
        engine.set_attribute(DRUMS, True)
    is_told = conditioning is not None and conditioning.clock is not None
    follower = BeatFollower(
        config.sampling_rate_hz, config.channels, config.hop_samples, is_told=is_told
    )
    follower.is_on = is_locked
    wanted, parts, count = round(seconds * config.sampling_rate_hz), [], 0
    while count < wanted:
        chunk = engine.step(_CHUNK_FRAMES)
        parts.append(follower.push(chunk.samples, engine.timeline, timeline).mean(axis=0))
        count += len(parts[-1])
        progress(min(count, wanted), wanted)
    samples = np.concatenate(parts)[:wanted]
    return Take(samples, config.sampling_rate_hz, timeline, follower.report())
