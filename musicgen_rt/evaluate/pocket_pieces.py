"""What a model is asked to play, and the music that answers: the judges' common currency.

A request comes with a clip of the generator that fulfils it. Judges hear a take without knowing
who played it: the model, the generator, or the generator through the codec. What they say of the
generator's own takes is the ceiling of their method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.model.notes import Note
from musicgen_rt.train.lm_records import ROLES
from musicgen_rt.train.music import Caption, Clip, captions, generate_clip
from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.events import PlacedNote
from musicgen_rt.train.music.plan import SongPlan, plan_song
from musicgen_rt.train.music.truth import Truth

Samples = NDArray[np.float32]

# Training seeds stay below a thousand million, and the codec's measures use two thousand million.
REQUEST_FIRST_SEED = 2_100_000_000
JUDGE_FIRST_SEED = 3_000_000_000
RATE_HZ = 32_000
# A request's clip begins at its first bar line: so much longer is what it is cut from.
_LONGEST_BAR_SECONDS = 4.0
_SILENCE_RMS = 1e-3
_CAPTIONS_DRAWN = 64
_LONGEST_PROMPT_BYTES = 240
_SHORTEST_NOTE_SECONDS = 0.02
_SAME_BEAT_SECONDS = 1e-6

PlanFilter = Callable[[SongPlan], bool]
CaptionFilter = Callable[[Caption], bool]


@dataclass(frozen=True)
class Request:
    """What is asked for; second 0 is the downbeat at `grid`'s beat 0.

    `melody` is the lead's notes, empty where no lead plays. `roles` says which parts play.
    """

    seed: int
    prompt: str
    style: str
    bpm: float
    grid: BeatGrid
    melody: tuple[Note, ...]
    roles: dict[str, bool]

    @property
    def has_drums(self) -> bool:
        """Whether drums are asked for."""
        return self.roles["drums"]


@dataclass(frozen=True)
class Take:
    """Mono `samples` [N] at `rate_hz` that answer `request`."""

    request: Request
    samples: Samples
    rate_hz: int = RATE_HZ

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate_hz

    def against(self, request: Request) -> Take:
        """The same music as an answer to another request: what a judge must not like."""
        return replace(self, request=request)

    def cut(self, start_seconds: float, seconds: float) -> Take:
        """A stretch of it; its clock begins with the bar in which it begins."""
        first = round(start_seconds * self.rate_hz)
        samples = self.samples[first : first + round(seconds * self.rate_hz)]
        request = moved(self.request, -first / self.rate_hz)
        edges, meter = np.asarray(request.grid.edges_seconds), request.grid.beats_per_bar
        bars = np.flatnonzero(edges[::meter] <= _SAME_BEAT_SECONDS)
        kept = request.grid.edges_seconds[int(bars[-1]) * meter if len(bars) else 0 :]
        grid = replace(request.grid, edges_seconds=kept)
        return Take(replace(request, grid=grid), samples, self.rate_hz)


def moved(request: Request, seconds: float) -> Request:
    """The request with its clock and melody so much later. Notes before 0 are lost."""
    edges = tuple(edge + seconds for edge in request.grid.edges_seconds)
    notes = tuple(
        replace(
            note,
            start_seconds=max(0.0, note.start_seconds + seconds),
            end_seconds=note.end_seconds + seconds,
        )
        for note in request.melody
        if note.end_seconds + seconds > _SHORTEST_NOTE_SECONDS
    )
    return replace(request, grid=replace(request.grid, edges_seconds=edges), melody=notes)


def is_steady(plan: SongPlan) -> bool:
    """Whether one tempo and one set of parts hold from end to end."""
    beats = np.diff(plan.grid.edges_seconds)
    has_one_tempo = float(np.ptp(beats)) < _SAME_BEAT_SECONDS
    return has_one_tempo and len({section.roles for section in plan.sections}) == 1


def says_style_and_tempo(caption: Caption) -> bool:
    """The prompts of most measures: they state a style and a tempo."""
    return {"style", "bpm"} <= caption.facts.keys()


def held_out_takes(
    first_seed: int,
    count: int,
    seconds: float,
    *,
    is_wanted: PlanFilter = is_steady,
    is_said: CaptionFilter = says_style_and_tempo,
) -> Iterator[Take]:
    """`count` takes of the generator, each with its request in a held-out wording.

    Seeds from `first_seed` on whose plan is wanted and whose clip is not silent and has a fitting
    caption. A take begins on the first bar line of its clip and lasts `seconds`.
    """
    seed, made = first_seed, 0
    while made < count:
        take = _take(seed, seconds, is_wanted, is_said)
        seed += 1
        if take is not None:
            made += 1
            yield take


def _take(seed: int, seconds: float, is_wanted: PlanFilter, is_said: CaptionFilter) -> Take | None:
    clip_seconds = seconds + _LONGEST_BAR_SECONDS
    if not is_wanted(plan_song(seed, clip_seconds)):
        return None
    clip = generate_clip(seed, clip_seconds, RATE_HZ)
    start = clip.truth.downbeats[0]
    first = round(start * RATE_HZ)
    samples = clip.samples[first : first + round(seconds * RATE_HZ)]
    prompt = _prompt(clip.truth, is_said)
    if prompt is None or float(np.sqrt(np.mean(samples**2))) < _SILENCE_RMS:
        return None
    return Take(_request(clip, prompt, start, seconds), samples)


def _prompt(truth: Truth, is_said: CaptionFilter) -> str | None:
    """The first held-out caption that will do and fits a prompt's room."""
    for caption in captions(truth, truth.seed, _CAPTIONS_DRAWN, held_out=True):
        if is_said(caption) and len(caption.text.encode()) <= _LONGEST_PROMPT_BYTES:
            return caption.text
    return None


def _request(clip: Clip, prompt: str, start: float, seconds: float) -> Request:
    truth = clip.truth
    edges = np.asarray(truth.grid.edges_seconds)
    first_beat = int(np.argmin(np.abs(edges - start)))
    grid = BeatGrid(
        tuple(float(edge - start) for edge in edges[first_beat:]), truth.grid.beats_per_bar
    )
    return Request(
        seed=truth.seed,
        prompt=prompt,
        style=truth.style,
        bpm=truth.bpm,
        grid=grid,
        melody=_melody(truth.lead_notes, start, seconds),
        roles={role: role in truth.instruments for role in ROLES},
    )


def _melody(notes: tuple[PlacedNote, ...], start: float, seconds: float) -> tuple[Note, ...]:
    """The notes inside the take, in its time, as the engine takes them."""
    cut = [
        (note, max(note.start_seconds - start, 0.0), min(note.end_seconds - start, seconds))
        for note in notes
    ]
    return tuple(
        Note(note.pitch, begin, end, max(1, round(127 * min(note.velocity, 1.0))))
        for note, begin, end in cut
        if end - begin > _SHORTEST_NOTE_SECONDS
    )
