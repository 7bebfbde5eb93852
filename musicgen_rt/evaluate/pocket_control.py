"""Does the model do as it is told? Held-out requests, played, and judged on their audio.

Four performers answer every request and meet the same judges: the model; the generator, whose
figures are the ceiling of the methods; the generator through the codec, the ceiling of what the
model can do; and the model's take against the next request, which is what chance gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from musicgen_rt.evaluate.pocket_bend import steady_grid
from musicgen_rt.evaluate.pocket_hearing import listen
from musicgen_rt.evaluate.pocket_judges import Judges, Through, Watch
from musicgen_rt.evaluate.pocket_pieces import (
    REQUEST_FIRST_SEED,
    Request,
    Take,
    held_out_takes,
)
from musicgen_rt.evaluate.pocket_play import GUIDANCE, Player, Told
from musicgen_rt.evaluate.pocket_tempo import is_within
from musicgen_rt.evaluate.pocket_verdict import (
    TEMPO_TOLERANCE,
    Figure,
    Verdict,
    figures_of,
    verdict_of,
)

TAKE_SECONDS = 12.0
# Requests of another `--seed` are other requests.
SEEDS_APART = 1_000_000
# What the engine plays in when nobody says how many.
_USUAL_BEATS_PER_BAR = 4

MODEL, GENERATOR, CODEC, SHUFFLED = "model", "generator", "codec", "shuffled"
GROUPS: Mapping[str, Callable[[Verdict], bool]] = {
    "all": lambda verdict: True,
    "drums": lambda verdict: verdict.request.has_drums,
    "no_drums": lambda verdict: not verdict.request.has_drums,
}


@dataclass(frozen=True)
class Stage:
    """All that the parts of an evaluation share.

    `teach` makes the judges, when first asked for; takes last `take_seconds`.
    """

    player: Player
    teach: Callable[[], Judges]
    through: Through
    watch: Watch
    seed: int = 0
    take_seconds: float = TAKE_SECONDS

    @cached_property
    def judges(self) -> Judges:
        """The learned judges."""
        return self.teach()

    def requests(self, count: int) -> list[Take]:
        """So many held-out takes of the generator with their requests."""
        first = REQUEST_FIRST_SEED + SEEDS_APART * self.seed
        return list(held_out_takes(first, count, self.take_seconds))

    def play(self, request: Request, index: int, told: Told | None = None) -> Take:
        """The model's take of the request of this number, whose noise is the number's."""
        seed = self.seed + index
        return self.player.play(request, self.take_seconds, seed=seed, told=told)


def evaluate_control(stage: Stage, prompts: int) -> dict[str, Any]:
    """With clock, melody and attributes: `figures[measure][performer][group]`."""
    takes = stage.requests(prompts)
    verdicts: dict[str, list[Verdict]] = {name: [] for name in (MODEL, GENERATOR, CODEC, SHUFFLED)}
    for index, take in enumerate(takes):
        stage.watch("control", index, prompts)
        played = stage.play(take.request, index)
        hearing = listen(played)
        other = _another_request(takes, index)
        verdicts[MODEL].append(verdict_of(stage.judges, played, hearing))
        verdicts[SHUFFLED].append(verdict_of(stage.judges, played.against(other.request), hearing))
        verdicts[GENERATOR].append(verdict_of(stage.judges, take))
        verdicts[CODEC].append(verdict_of(stage.judges, stage.through(take)))
    stage.watch("control", prompts, prompts)
    return {
        "prompts": prompts,
        "seconds_each": stage.take_seconds,
        "guidance": GUIDANCE,
        "told": _told(stage.player),
        "groups": {name: len(_group(verdicts[GENERATOR], name)) for name in GROUPS},
        "phase_bias_ms": round(1000 * stage.judges.phase.bias_seconds, 1),
        "figures": tabulated(verdicts),
        "takes": [_row(verdict) for verdict in verdicts[MODEL]],
    }


def evaluate_text_tempo(stage: Stage, prompts: int) -> dict[str, Any]:
    """Nothing but a text that states a tempo; the model's own reading of it runs the clock."""
    takes = stage.requests(prompts)
    reader = stage.player.model.text_attributes
    verdicts, read_right = [], []
    for index, take in enumerate(takes):
        stage.watch("text tempo", index, prompts)
        # Without a reader of texts there is no clock, and the model hears the text alone.
        bpm = reader.predict(take.request.prompt)["bpm"] if reader is not None else None
        asked = take.request if bpm is None else _told_in_words(take.request, bpm)
        told = Told(clock=bpm is not None, melody=False, attributes=False)
        played = stage.play(asked, index, told)
        verdicts.append(verdict_of(stage.judges, played.against(take.request)))
        if bpm is not None:
            read_right.append(is_within(bpm, round(take.request.bpm), TEMPO_TOLERANCE))
    stage.watch("text tempo", prompts, prompts)
    figures = {name: figures_of(_group(verdicts, name)) for name in GROUPS}
    return {
        "prompts": prompts,
        "clock": "none" if reader is None else "read from the text",
        "text_read_within_2_percent": sum(read_right) / len(read_right) if read_right else None,
        "groups": {name: len(_group(verdicts, name)) for name in GROUPS},
        "figures": {
            measure: {MODEL: {group: figures[group].get(measure) for group in GROUPS}}
            for measure in ("tempo_within_2_percent", "tempo_within_2_percent_any_level", "style")
        },
    }


def _told_in_words(request: Request, bpm: float) -> Request:
    """The request as a player has it who knows its text alone: a tempo that was read, in four."""
    grid = steady_grid(bpm, _USUAL_BEATS_PER_BAR, request.grid.edges_seconds[-1])
    return replace(request, bpm=bpm, grid=grid)


def tabulated(
    verdicts: Mapping[str, Sequence[Verdict]],
) -> dict[str, dict[str, dict[str, Figure]]]:
    """`[measure][performer][group]` of all verdicts."""
    figures = {
        performer: {group: figures_of(_group(rows, group)) for group in GROUPS}
        for performer, rows in verdicts.items()
    }
    measures = list(figures[GENERATOR]["all"])
    return {
        measure: {
            performer: {group: _rounded(by_group[group].get(measure)) for group in GROUPS}
            for performer, by_group in figures.items()
        }
        for measure in measures
    }


def _group(verdicts: Sequence[Verdict], name: str) -> list[Verdict]:
    return [verdict for verdict in verdicts if GROUPS[name](verdict)]


def _another_request(takes: Sequence[Take], index: int) -> Take:
    """The next take's request; if this one has a melody, the next that has one too."""
    others = [takes[(index + step) % len(takes)] for step in range(1, len(takes))]
    if takes[index].request.melody:
        others = [other for other in others if other.request.melody] or others
    return others[0] if others else takes[index]


def _row(verdict: Verdict) -> dict[str, Any]:
    """One take of the model: what was asked for and what was heard."""
    request, agreeing, frames = verdict.request, *verdict.melody
    late = verdict.late_seconds
    return {
        "seed": request.seed,
        "prompt": request.prompt,
        "bpm": [request.bpm, round(verdict.tempo.bpm, 2)],
        "late_ms": None if late is None else round(1000 * late, 1),
        "bar_shift": verdict.bar_shift,
        "style": [request.style, verdict.content.style],
        "parts": {
            role: [asked, round(verdict.content.role_chances[role], 3)]
            for role, asked in request.roles.items()
        },
        "melody_agreement": round(agreeing / frames, 4) if frames else None,
    }


def _told(player: Player) -> dict[str, Any]:
    return {
        "clock": player.has_clock,
        "melody": player.has_melody,
        "attributes": list(player.attributes),
    }


def _rounded(figure: Figure) -> Figure:
    return None if figure is None else round(figure, 4)
