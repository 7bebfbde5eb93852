"""A soak's verdict: what grows, what was heard."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musicgen_rt.evaluate.pcm_ear import Heard
from musicgen_rt.evaluate.stage_sound import SoundFaults

SCRIPTS = Path(__file__).parents[1] / "scripts"
MINUTES = 30
MIB = 2**20


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module("soak_report")
    sys.modules.pop("soak_report", None)


def course_of(soak: Any, *, mib_per_hour: float = 0.0, fds_at_the_end: int = 20) -> Any:
    """Half an hour, without fault but for what is asked for; memory breathes by some MiB."""
    course = soak.Course(exit_code=0)
    sound = SoundFaults(MINUTES * 60.0, 0.5, 0, 0, (), ())
    course.heard = Heard(sound, gaps=0, beat_faults=0, worst_beats=0.0, blocks=90_000)
    count = MINUTES * 12
    course.samples["engine"] = [
        soak.Sample(
            seconds=5.0 * n,
            rss_bytes=round((500 + mib_per_hour * n / 720 + 4 * (n % 3)) * MIB),
            fds=fds_at_the_end if n == count - 1 else 20,
            threads=8,
        )
        for n in range(count)
    ]
    return course


def complaints(soak: Any, course: Any) -> list[str]:
    setting = {"model": "pocket", "output": "null", "seed": 1}
    report = soak.report_of(setting, course, MINUTES * 60.0)
    assert ("; ".join(report["complaints"]) or "flat") in soak.markdown_of(report)
    found: list[str] = report["complaints"]
    return found


def test_a_flat_run_is_not_complained_of(soak: Any) -> None:
    assert complaints(soak, course_of(soak, mib_per_hour=10)) == []


@pytest.mark.parametrize(("minute", "is_told"), [(4, False), (6, True), (20, True)])
def test_after_five_minutes_nothing_may_be_filled_any_more(
    soak: Any, minute: int, is_told: bool
) -> None:
    course = course_of(soak)
    course.samples["engine"] = [
        replace(one, rss_bytes=one.rss_bytes + (100 * MIB if one.seconds > 60 * minute else 0))
        for one in course.samples["engine"]
    ]
    assert any("engine grows" in one for one in complaints(soak, course)) is is_told


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mib_per_hour": 60}, "engine grows by 60 MiB an hour"),
        ({"mib_per_hour": 200}, "engine has grown by"),
        ({"fds_at_the_end": 30}, "engine has 30 fds at the end"),
    ],
)
def test_what_grows_is_named(soak: Any, change: dict[str, Any], complaint: str) -> None:
    assert any(complaint in one for one in complaints(soak, course_of(soak, **change)))


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("underruns", 2, "2 underruns"),
        ("restarts", 1, "1 restarts"),
        ("fallbacks", 3, "3 times the last good bars had to loop"),
        ("exit_code", 70, "exit code 70"),
        ("ended_seconds", 2.5, "the end took 2.5 s"),
        ("heard", None, "nobody listened"),
        ("heard", Heard(SoundFaults(1800.0, 1.0, 5, 0, (7,), ()), 0, 0, 0.0, 1), "1 clicks"),
        (
            "heard",
            Heard(SoundFaults(1800.0, 0.5, 0, 0, (), ()), 0, 4, 0.2, 9),
            "4 blocks off the beat",
        ),
        ("heard", Heard(SoundFaults(60.0, 0.5, 0, 0, (), ()), 0, 0, 0.0, 9), "only 60 s of 1800 s"),
    ],
)
def test_what_was_wrong_is_named(soak: Any, name: str, value: Any, complaint: str) -> None:
    course = course_of(soak)
    setattr(course, name, value)
    assert any(complaint in one for one in complaints(soak, course))
