"""What a soak run has shown, and whether anything has grown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# The first part of a run fills caches and histories; growth counts after it.
WARM_UP_PART = 0.25
# What memory may grow by after that, whatever the length: allocators breathe.
GROWTH_BYTES = 24 << 20
GROWTH_FDS = 2


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


def _growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Of one process: from the mean after the warm-up to that of the end."""
    kept = samples[int(len(samples) * WARM_UP_PART) :] or samples
    part = max(1, len(kept) // 5)
    first, last = kept[:part], kept[-part:]
    before, after = _mean_rss(first), _mean_rss(last)
    return {
        "rss_first_mib": before / 2**20,
        "rss_last_mib": after / 2**20,
        "rss_max_mib": max(one.rss_bytes for one in samples) / 2**20,
        "rss_growth_bytes": after - before,
        "fds_first": first[0].fds,
        "fds_last": last[-1].fds,
        "threads_last": last[-1].threads,
    }


def report_of(
    setting: Mapping[str, Any], course: Course, seconds: float, code: int, ended_seconds: float
) -> dict[str, Any]:
    """All figures and what is to be complained of, as JSON."""
    processes = {name: _growth(samples) for name, samples in course.samples.items()}
    steps = sorted(course.steps_per_second) or [0.0]
    lead = sorted(course.lead_ms) or [0.0]
    complaints = [f"{n} has grown" for n, g in processes.items() if _has_grown(g)]
    complaints += [] if course.underruns == 0 else [f"{course.underruns} underruns"]
    complaints += [] if course.restarts == 0 else [f"{course.restarts} restarts"]
    complaints += [] if code == 0 else [f"exit code {code}"]
    complaints += [] if ended_seconds <= 2 else [f"the end took {ended_seconds:.1f} s"]
    return {
        **setting,
        "minutes": seconds / 60,
        "complaints": complaints,
        "processes": processes,
        "underruns": course.underruns,
        "fallbacks": course.fallbacks,
        "restarts": course.restarts,
        "steps_per_second": {"min": steps[0], "median": steps[len(steps) // 2]},
        "lead_ms": {"min": lead[0], "median": lead[len(lead) // 2]},
        "answers": dict(course.answers.most_common()),
        "refusals": dict(course.refusals.most_common(20)),
        "shutdown_seconds": ended_seconds,
        "exit_code": code,
        "samples": {n: [asdict(one) for one in some] for n, some in course.samples.items()},
    }


def _mean_rss(samples: Sequence[Sample]) -> float:
    return sum(one.rss_bytes for one in samples) / len(samples)


def _has_grown(growth: dict[str, float]) -> bool:
    is_bigger = growth["rss_growth_bytes"] > GROWTH_BYTES
    return is_bigger or growth["fds_last"] > growth["fds_first"] + GROWTH_FDS


def markdown_of(report: Mapping[str, Any]) -> str:
    """The report for people."""
    verdict = "; ".join(report["complaints"]) or "flat, uninterrupted"
    lines = [
        f"# Soak: {report['minutes']:.1f} minutes of {report['model']}, seed {report['seed']}",
        "",
        f"**{verdict}**",
        "",
        "| process | MiB after warm-up | MiB at the end | most | fds first, last | threads |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in report["processes"].items():
        lines.append(
            f"| {name} | {one['rss_first_mib']:.1f} | {one['rss_last_mib']:.1f} "
            f"| {one['rss_max_mib']:.1f} | {one['fds_first']}, {one['fds_last']} "
            f"| {one['threads_last']} |"
        )
    steps, lead = report["steps_per_second"], report["lead_ms"]
    course = (
        f"Underruns {report['underruns']}, fallbacks {report['fallbacks']}, restarts "
        f"{report['restarts']}; steps/s median {steps['median']:.0f}, least {steps['min']:.0f}; "
        f"lead median {lead['median']:.0f} ms, least {lead['min']:.0f} ms; "
        f"ended in {report['shutdown_seconds']:.2f} s with exit code {report['exit_code']}."
    )
    answers = ", ".join(f"{name} {count}" for name, count in report["answers"].items())
    lines += ["", course, "", f"Answers: {answers}", "", "Refusals:"]
    lines += [f"- {count} x {text}" for text, count in report["refusals"].items()]
    return "\n".join(lines) + "\n"
