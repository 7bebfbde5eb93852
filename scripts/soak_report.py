"""What a soak run has shown, and whether anything has grown or was heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from musicgen_rt.evaluate.pcm_ear import Heard

# The first minutes of a run fill caches and histories, of a short run a part; then growth counts.
WARM_UP_SECONDS = 300.0
WARM_UP_PART = 0.25
# What memory may grow by after that: allocators breathe. And by how much an hour, for a run that is
# long enough to tell a slope from a breath.
GROWTH_MIB = 24.0
SLOPE_MIB_PER_HOUR = 48.0
SLOPE_MINUTES = 20.0
GROWTH_FDS = 2
GROWTH_THREADS = 2
SHUTDOWN_SECONDS = 2.0
# Less of the music than this in the subscriber's hands, and it was not listened to.
HEARD_PART = 0.5


@dataclass(frozen=True)
class Sample:
    """One look at one process."""

    seconds: float
    rss_bytes: int
    fds: int
    threads: int


@dataclass
class Course:
    """What a run has shown so far."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    steps_per_second: list[float] = field(default_factory=list)
    lead_ms: list[float] = field(default_factory=list)
    underruns: int = 0
    fallbacks: int = 0
    restarts: int = 0
    first_sound_seconds: float = 0.0
    ended_seconds: float = 0.0
    exit_code: int | None = None
    heard: Heard | None = None


def growth_of(samples: Sequence[Sample]) -> dict[str, float]:
    """Of one process: from after the warm-up to the end, and the slope of that."""
    warm_seconds = min(WARM_UP_SECONDS, samples[-1].seconds * WARM_UP_PART)
    kept = [one for one in samples if one.seconds >= warm_seconds]
    part = max(1, len(kept) // 5)
    mib = np.array([one.rss_bytes / 2**20 for one in kept])
    hours = np.array([one.seconds / 3600 for one in kept])
    slope = np.polyfit(hours, mib, 1)[0] if len(kept) > 2 else 0.0
    first, last = mib[:part].mean(), mib[-part:].mean()
    return {
        "rss_first_mib": float(first),
        "rss_last_mib": float(last),
        "rss_max_mib": max(one.rss_bytes for one in samples) / 2**20,
        "rss_growth_mib": float(last - first),
        "rss_slope_mib_per_hour": float(slope),
        "fds_first": kept[0].fds,
        "fds_last": kept[-1].fds,
        "threads_first": kept[0].threads,
        "threads_last": kept[-1].threads,
    }


def complaints_of(name: str, growth: Mapping[str, float], minutes: float) -> list[str]:
    """What has grown of one process."""
    found = []
    if growth["rss_growth_mib"] > GROWTH_MIB:
        found.append(f"{name} has grown by {growth['rss_growth_mib']:.0f} MiB")
    if minutes >= SLOPE_MINUTES and growth["rss_slope_mib_per_hour"] > SLOPE_MIB_PER_HOUR:
        found.append(f"{name} grows by {growth['rss_slope_mib_per_hour']:.0f} MiB an hour")
    for what, most in (("fds", GROWTH_FDS), ("threads", GROWTH_THREADS)):
        if growth[f"{what}_last"] > growth[f"{what}_first"] + most:
            found.append(f"{name} has {growth[f'{what}_last']:.0f} {what} at the end")
    return found


def report_of(setting: Mapping[str, Any], course: Course, seconds: float) -> dict[str, Any]:
    """All figures and what is to be complained of, as JSON."""
    processes = {name: growth_of(samples) for name, samples in course.samples.items()}
    complaints = [
        text for n, growth in processes.items() for text in complaints_of(n, growth, seconds / 60)
    ]
    complaints += _complaints_of_the_music(course, seconds)
    for is_wrong, text in (
        (course.underruns > 0, f"{course.underruns} underruns"),
        (course.fallbacks > 0, f"{course.fallbacks} times the last good bars had to loop"),
        (course.restarts > 0, f"{course.restarts} restarts"),
        (course.exit_code != 0, f"exit code {course.exit_code}"),
        (course.ended_seconds > SHUTDOWN_SECONDS, f"the end took {course.ended_seconds:.1f} s"),
    ):
        complaints += [text] if is_wrong else []
    return {
        **setting,
        "minutes": seconds / 60,
        "complaints": complaints,
        "processes": processes,
        "first_sound_seconds": course.first_sound_seconds,
        "underruns": course.underruns,
        "fallbacks": course.fallbacks,
        "restarts": course.restarts,
        "heard": None if course.heard is None else asdict(course.heard),
        "steps_per_second": _least_and_median(course.steps_per_second),
        "lead_ms": _least_and_median(course.lead_ms),
        "answers": dict(course.answers.most_common()),
        "refusals": dict(course.refusals.most_common(20)),
        "shutdown_seconds": course.ended_seconds,
        "exit_code": course.exit_code,
        "samples": {n: [asdict(one) for one in some] for n, some in course.samples.items()},
    }


def _complaints_of_the_music(course: Course, seconds: float) -> list[str]:
    heard = course.heard
    if heard is None or heard.blocks == 0:
        return ["nobody listened"]
    complaints = list(heard.sound.complaints)
    if heard.beat_faults:
        complaints.append(f"{heard.beat_faults} blocks off the beat")
    # A performer who stops the transport listens to silence for a part of the time.
    if heard.sound.seconds < HEARD_PART * seconds:
        complaints.append(f"only {heard.sound.seconds:.0f} s of {seconds:.0f} s were listened to")
    return complaints


def _least_and_median(values: Sequence[float]) -> dict[str, float]:
    some = np.array(values or [0.0])
    return {"min": float(some.min()), "median": float(np.median(some))}


def markdown_of(report: Mapping[str, Any]) -> str:
    """The report for people."""
    verdict = "; ".join(report["complaints"]) or "flat, uninterrupted"
    lines = [
        f"# Soak: {report['minutes']:.1f} minutes of {report['model']}, seed {report['seed']}",
        "",
        f"**{verdict}**",
        "",
        "| process | MiB after warm-up | MiB at the end | most | MiB an hour | fds | threads |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in report["processes"].items():
        lines.append(
            f"| {name} | {one['rss_first_mib']:.1f} | {one['rss_last_mib']:.1f} "
            f"| {one['rss_max_mib']:.1f} | {one['rss_slope_mib_per_hour']:+.1f} "
            f"| {one['fds_first']}, {one['fds_last']} "
            f"| {one['threads_first']}, {one['threads_last']} |"
        )
    steps, lead = report["steps_per_second"], report["lead_ms"]
    course = (
        f"First sound after {report['first_sound_seconds']:.1f} s. Underruns "
        f"{report['underruns']}, fallbacks {report['fallbacks']}, restarts "
        f"{report['restarts']}; steps/s median {steps['median']:.0f}, least {steps['min']:.0f}; "
        f"lead median {lead['median']:.0f} ms, least {lead['min']:.0f} ms; "
        f"ended in {report['shutdown_seconds']:.2f} s with exit code {report['exit_code']}."
    )
    answers = ", ".join(f"{name} {count}" for name, count in report["answers"].items())
    lines += ["", course, "", _heard_line(report["heard"]), "", f"Answers: {answers}", ""]
    lines += ["Refusals:", *(f"- {count} x {text}" for text, count in report["refusals"].items())]
    return "\n".join(lines) + "\n"


def _heard_line(heard: Mapping[str, Any] | None) -> str:
    if heard is None:
        return "Nobody listened."
    sound = heard["sound"]
    return (
        f"Listened to {sound['seconds']:.0f} s of PCM: peak {sound['peak']:.3f}, "
        f"{sound['non_finite']} not finite, {sound['over_ceiling']} above the ceiling, "
        f"{len(sound['clicks'])} clicks, {len(sound['holes'])} holes, "
        f"{heard['beat_faults']} of {heard['blocks']} blocks off the beat "
        f"(at most by {heard['worst_beats']:.3f} beats), {heard['gaps']} gaps."
    )
