"""The plan of a clip: style, tempo, key, chords, and which instruments play in which bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.harmony import ChordSpan, plan_chords
from musicgen_rt.train.music.mood import MOODS, Mood
from musicgen_rt.train.music.random_stream import pick, pick_weighted, random_stream
from musicgen_rt.train.music.style import Style
from musicgen_rt.train.music.styles import STYLES
from musicgen_rt.train.music.tempo import plan_grid
from musicgen_rt.train.music.theory import Key

ROLES = ("drums", "bass", "pad", "keys", "lead")

# In half of the clips no drum is heard (some that could have drums leave them out). A model that is
# guided towards "no drums" must have heard drumless music under every other condition, or guidance
# learns that a clock means drums.
_LAYOUTS: dict[tuple[str, ...], float] = {
    ("drums",): 7,
    ("drums", "bass"): 7,
    ("drums", "lead"): 4,
    ("drums", "keys"): 3,
    ("drums", "pad"): 2,
    ("drums", "bass", "keys"): 6,
    ("drums", "bass", "lead"): 5,
    ("drums", "bass", "pad", "lead"): 5,
    ("drums", "bass", "keys", "lead"): 8,
    ("drums", "bass", "pad", "keys", "lead"): 11,
    ("lead",): 8,
    ("pad", "lead"): 9,
    ("keys", "lead"): 6,
    ("bass", "lead"): 3,
    ("keys",): 4,
    ("pad",): 3,
    ("bass",): 2,
    ("pad", "keys"): 2,
    ("bass", "keys"): 4,
    ("bass", "pad", "lead"): 3,
    ("bass", "pad", "keys", "lead"): 6,
}

_SECTION_NAMES = ("verse", "chorus", "break", "bridge", "build")


@dataclass(frozen=True)
class Section:
    """Bars `first_bar` up to, not including, `end_bar`; `roles` play, at `intensity` 0-1."""

    name: str
    first_bar: int
    end_bar: int
    roles: frozenset[str]
    intensity: float
    variant: int


@dataclass(frozen=True)
class SongPlan:
    """Everything that the parts share. `swing` is the first note's share of a swung pair."""

    seed: int
    style: Style
    mood: Mood
    grid: BeatGrid
    nominal_bpm: float
    key: Key
    swing: float
    sections: tuple[Section, ...]
    chords: tuple[ChordSpan, ...]

    @property
    def roles(self) -> frozenset[str]:
        """All roles that play anywhere."""
        return frozenset().union(*(section.roles for section in self.sections))

    @property
    def beats_per_bar(self) -> int:
        """Quarter notes in a bar, 3 or 4."""
        return self.grid.beats_per_bar

    def section_of_bar(self, bar: int) -> Section:
        """The section in which `bar` lies."""
        return next(part for part in self.sections if part.first_bar <= bar < part.end_bar)

    def bars_of(self, role: str) -> list[int]:
        """The bars in which `role` plays, rising."""
        return [
            bar
            for section in self.sections
            if role in section.roles
            for bar in range(section.first_bar, section.end_bar)
        ]


def plan_song(seed: int, seconds: float) -> SongPlan:
    """The plan of the clip of `seed`, `seconds` long."""
    rng = random_stream(seed, "plan")
    layout: tuple[str, ...] = pick_weighted(rng, _LAYOUTS)
    roles = frozenset(layout)
    style = _pick_style(rng, roles)
    mood = MOODS[pick(rng, style.moods)]
    beats_per_bar = 3 if rng.random() < style.waltz_share else 4
    grid, nominal_bpm = plan_grid(rng, style, mood, beats_per_bar, seconds)
    swing = float(rng.uniform(*style.swing)) if rng.random() < style.swing_share else 0.5
    key = Key(int(rng.integers(12)), pick_weighted(rng, mood.mode_weights(style.modes)))
    sections = _plan_sections(rng, roles, mood, grid.bars)
    chords = plan_chords(random_stream(seed, "harmony"), style, key, grid)
    return SongPlan(seed, style, mood, grid, nominal_bpm, key, swing, sections, chords)


def _pick_style(rng: np.random.Generator, roles: frozenset[str]) -> Style:
    """A style; ambient is rarer with drums and commoner without, the others are alike."""
    weights = dict.fromkeys(STYLES, 1.0)
    weights["ambient"] = 0.6 if "drums" in roles else 1.4
    return STYLES[pick_weighted(rng, weights)]


def _plan_sections(
    rng: np.random.Generator, roles: frozenset[str], mood: Mood, bars: int
) -> tuple[Section, ...]:
    """Sections that cover `bars`; in half of the clips all roles play from end to end."""
    steady = rng.random() < 0.5
    sections: list[Section] = []
    first_bar = -int(rng.integers(0, 4))
    playing = roles if steady else _some_roles(rng, roles)
    while first_bar < bars:
        end_bar = first_bar + int(pick(rng, (2, 4, 4, 4, 8)))
        name = "loop" if steady else pick(rng, _SECTION_NAMES)
        sections.append(
            Section(
                name=name,
                first_bar=max(first_bar, 0),
                end_bar=min(max(end_bar, 1), bars),
                roles=playing,
                intensity=float(np.clip(rng.uniform(0.3, 1.0) + 0.2 * mood.energy, 0.2, 1.0)),
                variant=int(rng.integers(2)),
            )
        )
        first_bar = max(end_bar, 1)
        playing = roles if steady else _change_roles(rng, roles, playing)
    return tuple(sections)


def _some_roles(rng: np.random.Generator, roles: frozenset[str]) -> frozenset[str]:
    """A random subset of `roles` with at least one in it."""
    ordered = sorted(roles)
    kept = frozenset(role for role in ordered if rng.random() < 0.65)
    return kept or frozenset([pick(rng, ordered)])


def _change_roles(
    rng: np.random.Generator, roles: frozenset[str], playing: frozenset[str]
) -> frozenset[str]:
    """The next section's roles: one or two enter or leave, and never all of them."""
    ordered = sorted(roles)
    changed = set(playing)
    for _ in range(int(rng.integers(1, 3))):
        changed ^= {pick(rng, ordered)}
    return frozenset(changed) or roles
