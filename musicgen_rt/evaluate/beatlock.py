"""The measure of the beat lock: tempi, a step and a ramp, each with the lock and without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.beatlock_judge import MEDIAN_BOUND_MS, P95_BOUND_MS, beat_errors
from musicgen_rt.evaluate.beatlock_takes import (
    Course,
    Take,
    drifting,
    model_take,
    ramp,
    stand_in_take,
    steady,
    step,
)
from musicgen_rt.model.musicgen import MusicGen

DEFAULT_BPMS = (90.0, 120.0, 128.0, 174.0)
DEFAULT_SECONDS = 300.0
SECONDS_RANGE = (20.0, 3600.0)
PROMPT = "warm house groove with drums and a round bass"

# What is told of progress: which take, and how much of it is done.
Progress = Callable[[str, int, int], None]
Play = Callable[[Course, bool, Progress], Take]


@dataclass(frozen=True)
class BeatlockSettings:
    """What is measured. Raises ParameterError for a length out of range."""

    seconds: float = DEFAULT_SECONDS
    bpms: tuple[float, ...] = DEFAULT_BPMS
    has_changes: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        shortest, longest = SECONDS_RANGE
        if not shortest <= self.seconds <= longest:
            raise ParameterError(
                f"seconds is {self.seconds}: expected {shortest:g} to {longest:g}, long enough to "
                "find the beats and to judge them"
            )

    @property
    def courses(self) -> tuple[Course, ...]:
        """All tempi, then the changes of tempo."""
        changes = (
            step(120.0, 126.0, self.seconds / 2),
            ramp(100.0, 140.0, self.seconds),
        )
        return (*map(steady, self.bpms), *(changes if self.has_changes else ()))


def evaluate_model(
    model: MusicGen, settings: BeatlockSettings, progress: Progress
) -> dict[str, Any]:
    """A model's report, for `json.dumps`."""

    def play(course: Course, is_locked: bool, report: Progress) -> Take:
        def told(done: int, total: int) -> None:
            report(f"{course.name}{'' if is_locked else ' unlocked'}", done, total)

        return model_take(
            model,
            PROMPT,
            course,
            settings.seconds,
            is_locked=is_locked,
            seed=settings.seed,
            progress=told,
        )

    report = _report(play, settings.courses, settings, progress)
    return {"model": model.source, "prompt": PROMPT, **report}


def evaluate_stand_in(settings: BeatlockSettings, progress: Progress) -> dict[str, Any]:
    """The report of drums whose tempo wanders by 2 % and that are told nothing."""

    def play(course: Course, is_locked: bool, report: Progress) -> Take:
        report(f"stand-in {course.name}", 0, 1)
        loop = drifting(course.tempi[0][1])
        return stand_in_take(loop, course, settings.seconds, is_locked=is_locked)

    return {
        "model": "stand-in, drifting by 2 %",
        **_report(play, [steady(bpm) for bpm in settings.bpms], settings, progress),
    }


def _report(
    play: Play, courses: Sequence[Course], settings: BeatlockSettings, progress: Progress
) -> dict[str, Any]:
    rows = []
    for course in courses:
        for is_locked in (True, False):
            take = play(course, is_locked, progress)
            errors = beat_errors(take.samples, take.rate_hz, take.timeline)
            row = {"tempo": course.name, "is_locked": is_locked, **errors.figures()}
            rows.append({**row, "lock": asdict(take.lock)})
    locked = [row["is_within_bounds"] for row in rows if row["is_locked"]]
    return {
        "seconds": settings.seconds,
        "seed": settings.seed,
        "bounds_ms": {"median": MEDIAN_BOUND_MS, "p95": P95_BOUND_MS},
        "takes": rows,
        "all_locked_within_bounds": all(locked),
    }


def table(report: dict[str, Any]) -> str:
    """A report as lines of text."""
    lines = [f"{report['model']}, {report['seconds']:g} s a take"]
    lines.append(f"{'tempo':<20}{'lock':<6}{'beats':>6}{'median ms':>11}{'p95 ms':>9}{'whole':>7}")
    for row in report["takes"]:
        figures = "".join(
            f"{'-' if row.get(key) is None else format(row[key], '.1f'):>{width}}"
            for key, width in (("median_ms", 11), ("p95_ms", 9))
        )
        whole = f"{100 * row.get('whole_beats', 0.0):.0f}%"
        lock = "on" if row["is_locked"] else "off"
        lines.append(f"{row['tempo']:<20}{lock:<6}{row['beats']:>6}{figures}{whole:>7}")
    return "\n".join(lines)
