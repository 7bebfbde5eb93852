"""The drummer: a groove of lanes, varied from bar to bar, with ghosts, fills and cymbals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.events import DrumHit
from musicgen_rt.train.music.plan import Section, SongPlan
from musicgen_rt.train.music.random_stream import pick, pick_weighted, random_stream
from musicgen_rt.train.music.step_pattern import STEP_BEATS, fit_pattern

_VELOCITY = {"X": 1.0, "x": 0.78, "o": 0.34, "O": 0.8, "?": 0.7}
_PERCUSSION = ("shaker", "tambourine", "conga", "cowbell", "woodblock", "rim")
_TOMS = ("tom_high", "tom_mid", "tom_low")


@dataclass(frozen=True)
class Groove:
    """One bar: a pattern a lane, and the drum that each lane strikes."""

    kick: str
    backbeat: str
    hat: str
    percussion: str
    backbeat_drum: str
    hat_drum: str
    percussion_drum: str


def compose_drums(plan: SongPlan) -> list[DrumHit]:
    """All drum strokes of the clip, in the bars in which the drums play."""
    rng = random_stream(plan.seed, "drums")
    first = _pick_groove(rng, plan)
    grooves = (first, _vary_groove(rng, plan, first))
    phrase_bars = int(pick(rng, (4, 4, 8)))
    hits: list[DrumHit] = []
    bars = plan.bars_of("drums")
    for bar in bars:
        section = plan.section_of_bar(bar)
        groove = grooves[section.variant]
        played = _play_bar(rng, plan, section, groove, bar)
        is_phrase_end = (bar + 1 - section.first_bar) % phrase_bars == 0
        if (is_phrase_end or bar + 1 == section.end_bar) and (
            rng.random() < plan.style.drums.fill_share
        ):
            played = _play_fill(rng, plan, played, bar)
        if bar == section.first_bar and bar > 0 and rng.random() < 0.6:
            played.append(DrumHit(float(bar * plan.beats_per_bar), "crash", 0.9))
        hits.extend(played)
    return hits


def _pick_groove(rng: np.random.Generator, plan: SongPlan) -> Groove:
    habits = plan.style.drums
    is_waltz = plan.beats_per_bar == 3
    return Groove(
        kick=pick(rng, habits.waltz_kicks if is_waltz else habits.kicks),
        backbeat=pick(rng, habits.waltz_backbeats if is_waltz else habits.backbeats),
        hat=fit_pattern(pick(rng, habits.hats), plan.beats_per_bar),
        percussion=fit_pattern(pick(rng, habits.percussion), plan.beats_per_bar),
        backbeat_drum=pick_weighted(rng, habits.backbeat_drums),
        hat_drum=pick_weighted(rng, {"hat": 5.0, "ride": 1.0, "shaker": 0.5}),
        percussion_drum=pick(rng, _PERCUSSION),
    )


def _vary_groove(rng: np.random.Generator, plan: SongPlan, groove: Groove) -> Groove:
    """A second groove that shares the backbeat drum, and most often the kick, with the first."""
    other = _pick_groove(rng, plan)
    return Groove(
        kick=groove.kick if rng.random() < 0.6 else other.kick,
        backbeat=groove.backbeat if rng.random() < 0.6 else other.backbeat,
        hat=other.hat,
        percussion=other.percussion,
        backbeat_drum=groove.backbeat_drum,
        hat_drum=other.hat_drum,
        percussion_drum=groove.percussion_drum,
    )


def _play_bar(
    rng: np.random.Generator, plan: SongPlan, section: Section, groove: Groove, bar: int
) -> list[DrumHit]:
    """One bar of the groove with its chances taken; quiet sections leave lanes out."""
    start_beats = float(bar * plan.beats_per_bar)
    lanes = [(groove.kick, "kick"), (groove.backbeat, groove.backbeat_drum)]
    if section.intensity > 0.35:
        lanes.append((groove.hat, groove.hat_drum))
    if section.intensity > 0.6:
        lanes.append((groove.percussion, groove.percussion_drum))
    hits: list[DrumHit] = []
    for pattern, drum in lanes:
        hits.extend(_play_lane(rng, pattern, drum, start_beats))
    hits.extend(_ghosts(rng, plan, groove, start_beats))
    return hits


def _play_lane(
    rng: np.random.Generator, pattern: str, drum: str, start_beats: float
) -> list[DrumHit]:
    hits = []
    for step, letter in enumerate(pattern):
        if letter == "." or (letter == "?" and rng.random() < 0.5):
            continue
        velocity = _VELOCITY[letter] * float(rng.uniform(0.88, 1.0))
        name = "open_hat" if letter == "O" and drum == "hat" else drum
        hits.append(DrumHit(start_beats + step * STEP_BEATS, name, velocity))
    return hits


def _ghosts(
    rng: np.random.Generator, plan: SongPlan, groove: Groove, start_beats: float
) -> list[DrumHit]:
    """Soft snare strokes in the gaps between backbeats."""
    if rng.random() > plan.style.drums.ghost_share or groove.backbeat_drum != "snare":
        return []
    free = [step for step, letter in enumerate(groove.backbeat) if letter == "." and step % 2]
    if not free:
        return []
    steps = rng.choice(free, size=min(2, len(free)), replace=False)
    return [
        DrumHit(start_beats + int(step) * STEP_BEATS, "snare", float(rng.uniform(0.15, 0.32)))
        for step in steps
    ]


def _play_fill(
    rng: np.random.Generator, plan: SongPlan, hits: list[DrumHit], bar: int
) -> list[DrumHit]:
    """The bar's last beat or two as a fill: a roll, a run over the toms, strokes or a stop."""
    fill_beats = int(pick(rng, (1, 1, 2)))
    end = float((bar + 1) * plan.beats_per_bar)
    start = end - fill_beats
    kept = [hit for hit in hits if hit.start_beats < start]
    kind = pick_weighted(rng, {"roll": 3.0, "toms": 3.0, "strokes": 3.0, "stop": 1.0})
    if kind == "stop":
        return kept
    steps = fill_beats * 4
    for step in range(steps):
        rising = 0.45 + 0.5 * step / steps
        beat = start + step * STEP_BEATS
        if kind == "roll":
            kept.append(DrumHit(beat, "snare", rising))
        elif kind == "toms":
            drum = _TOMS[min(2, step * 3 // steps)]
            kept.append(DrumHit(beat, drum, float(rng.uniform(0.65, 1.0))))
        elif rng.random() < 0.6:
            drum = pick(rng, ("snare", "tom_low", "kick", "snare"))
            kept.append(DrumHit(beat, drum, float(rng.uniform(0.5, 1.0))))
    return kept
