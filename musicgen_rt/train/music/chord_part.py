"""Keys and pad: chords voiced with little movement, comped, arpeggiated or held.

Letters of a comp: `X` chord, `x` soft chord, digits one note of the chord (5 is the first an
octave up), `-` hold, `.` rest.
"""

from __future__ import annotations

import numpy as np

from musicgen_rt.train.music.events import Note
from musicgen_rt.train.music.harmony import ChordSpan, chord_at
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.random_stream import pick, random_stream
from musicgen_rt.train.music.step_pattern import STEP_BEATS, fit_pattern, held_steps
from musicgen_rt.train.music.theory import voice_chord

Voicings = dict[float, tuple[int, ...]]


def compose_keys(plan: SongPlan) -> list[Note]:
    """The comping of the keys, in the bars in which they play."""
    rng = random_stream(plan.seed, "keys")
    voicings = _voicings(plan, low=46 + int(rng.integers(0, 10)), voices=int(rng.integers(3, 5)))
    patterns = [_pick_comp(rng, plan) for _ in range(2)]
    if rng.random() < 0.5:
        patterns[1] = patterns[0]
    gate = float(rng.uniform(0.5, 1.0))
    notes: list[Note] = []
    for bar in plan.bars_of("keys"):
        pattern = patterns[plan.section_of_bar(bar).variant]
        notes.extend(_comp_bar(rng, plan, voicings, pattern, bar, gate))
    return notes


def compose_pad(plan: SongPlan) -> list[Note]:
    """Held chords, from chord to chord, in the bars in which the pad plays."""
    rng = random_stream(plan.seed, "pad")
    voicings = _voicings(plan, low=45 + int(rng.integers(0, 12)), voices=int(rng.integers(3, 6)))
    bars = set(plan.bars_of("pad"))
    notes: list[Note] = []
    for span in plan.chords:
        for start, end in _playing_stretches(span, bars, plan.beats_per_bar):
            velocity = float(rng.uniform(0.75, 1.0))
            notes.extend(
                Note(start, end - start, pitch, velocity) for pitch in voicings[span.start_beats]
            )
    return notes


def _voicings(plan: SongPlan, low: int, voices: int) -> Voicings:
    """The pitches of each chord span, by its start."""
    voicings: Voicings = {}
    previous: tuple[int, ...] = ()
    for span in plan.chords:
        previous = _voice(span, previous, low, voices)
        voicings[span.start_beats] = previous
    return voicings


def _voice(span: ChordSpan, previous: tuple[int, ...], low: int, voices: int) -> tuple[int, ...]:
    return voice_chord(span.chord, previous, low, voices)


def _playing_stretches(
    span: ChordSpan, bars: set[int], beats_per_bar: int
) -> list[tuple[float, float]]:
    """The parts of `span` that lie in `bars`, joined where bars follow each other."""
    stretches: list[tuple[float, float]] = []
    beat = span.start_beats
    while beat < span.end_beats:
        bar = int(beat // beats_per_bar)
        end = min(span.end_beats, float((bar + 1) * beats_per_bar))
        if bar in bars:
            if stretches and stretches[-1][1] == beat:
                stretches[-1] = (stretches[-1][0], end)
            else:
                stretches.append((beat, end))
        beat = end
    return stretches


def _pick_comp(rng: np.random.Generator, plan: SongPlan) -> str:
    """A bar's comp; where nothing else plays, the fullest of three."""
    draws = 3 if plan.roles == {"keys"} else 1
    comps = [fit_pattern(pick(rng, plan.style.comps), plan.beats_per_bar) for _ in range(draws)]
    return min(comps, key=lambda comp: comp.count("."))


def _comp_bar(
    rng: np.random.Generator,
    plan: SongPlan,
    voicings: Voicings,
    pattern: str,
    bar: int,
    gate: float,
) -> list[Note]:
    notes: list[Note] = []
    for step, letter in enumerate(pattern):
        if letter in ".-":
            continue
        beat = bar * plan.beats_per_bar + step * STEP_BEATS
        pitches = voicings[chord_at(plan.chords, beat).start_beats]
        steps = held_steps(pattern, step)
        duration = steps * STEP_BEATS * (gate if steps == 1 else 0.97)
        velocity = float(rng.uniform(0.7, 1.0)) * (0.55 if letter == "x" else 1.0)
        if letter.isdigit():
            index = int(letter) - 1
            octave = 12 * (index // len(pitches))
            pitches = (pitches[index % len(pitches)] + octave,)
        notes.extend(Note(beat, duration, pitch, velocity) for pitch in pitches)
    return notes
