"""What makes it music and not notes: motifs that return and rest, fills, sections that differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from musicgen_rt.train.music.drum_part import compose_drums
from musicgen_rt.train.music.events import Note
from musicgen_rt.train.music.lead_part import compose_lead
from musicgen_rt.train.music.plan import SongPlan, plan_song

_FEWEST_BARS = 8


@pytest.fixture(scope="module")
def plans() -> list[SongPlan]:
    """Plans of half a minute."""
    return [plan_song(seed, 30.0) for seed in range(400)]


@pytest.fixture(scope="module")
def leads(plans: list[SongPlan]) -> list[tuple[SongPlan, list[Note]]]:
    """Leads that are heard for eight bars or more."""
    heard = [plan for plan in plans if len(plan.bars_of("lead")) >= _FEWEST_BARS]
    return [(plan, compose_lead(plan)) for plan in heard]


def rhythms(plan: SongPlan, notes: list[Note]) -> dict[int, tuple[float, ...]]:
    """When notes begin within each bar."""
    bars: dict[int, list[float]] = defaultdict(list)
    for note in notes:
        bar, beat = divmod(note.start_beats, plan.beats_per_bar)
        bars[int(bar)].append(round(beat, 3))
    return {bar: tuple(beats) for bar, beats in bars.items()}


def test_rhythms_return(leads: list[tuple[SongPlan, list[Note]]]) -> None:
    """Against the same bars in another clip, where a rhythm returns by chance alone."""
    assert len(leads) > 50
    returning, by_chance = [], []
    for (plan, notes), (_, others) in pairwise(leads):
        bars = rhythms(plan, notes)
        counts = Counter(bars.values())
        returning.append(np.mean([counts[rhythm] > 1 for rhythm in bars.values()]))
        strange = set(rhythms(plan, others).values())
        by_chance.append(np.mean([rhythm in strange for rhythm in bars.values()]))
    assert np.mean(returning) > 0.8
    assert np.mean(by_chance) < 0.4


def test_leads_rest_and_move_in_steps_and_leaps(leads: list[tuple[SongPlan, list[Note]]]) -> None:
    rests, steps = [], []
    for plan, notes in leads:
        room = len(plan.bars_of("lead")) * plan.beats_per_bar
        rests.append(1 - sum(note.duration_beats for note in notes) / room)
        steps += [abs(b.pitch - a.pitch) for a, b in pairwise(notes)]
    assert 0.15 < np.median(rests) < 0.85
    assert np.mean(np.array(rests) > 0.05) > 0.9
    assert np.median(steps) <= 3
    assert 0.02 < np.mean(np.array(steps) >= 7) < 0.3
    assert np.mean(np.array(steps) == 0) < 0.5


def test_fills_lead_into_sections(plans: list[SongPlan]) -> None:
    """The last beat of a section's last bar differs from that of its other bars."""
    ending, within = [], []
    for plan in plans:
        last_beats: dict[int, set[tuple[float, str]]] = defaultdict(set)
        for hit in compose_drums(plan):
            bar, beat = divmod(hit.start_beats, plan.beats_per_bar)
            if beat >= plan.beats_per_bar - 1:
                last_beats[int(bar)].add((round(beat, 3), hit.drum))
        for section in plan.sections:
            bars = range(section.first_bar, section.end_bar)
            if "drums" not in section.roles or len(bars) < 4:
                continue
            usual = [last_beats[bar] for bar in bars[:-1]]
            within.append(usual[0] != usual[1])
            ending.append(last_beats[bars[-1]] not in usual)
    assert len(ending) > 50
    assert np.mean(ending) > np.mean(within) + 0.2


def test_sections_change_who_plays(plans: list[SongPlan]) -> None:
    changing = [plan for plan in plans if len({section.roles for section in plan.sections}) > 1]
    assert 0.25 < len(changing) / len(plans) < 0.6
    for plan in plans:
        assert plan.sections[0].first_bar == 0
        for one, following in pairwise(plan.sections):
            assert one.end_bar == following.first_bar
