"""What all judges say of one take, and figures over many such verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from musicgen_rt.evaluate.pocket_bars import beats_of
from musicgen_rt.evaluate.pocket_content import Content
from musicgen_rt.evaluate.pocket_hearing import Hearing, listen
from musicgen_rt.evaluate.pocket_judges import Judges
from musicgen_rt.evaluate.pocket_melody import asked_classes, heard_classes, melody_agreement
from musicgen_rt.evaluate.pocket_phase import plain_late_seconds
from musicgen_rt.evaluate.pocket_pieces import Request, Take
from musicgen_rt.evaluate.pocket_tempo import TempoGuess, is_within, is_within_any_level

TEMPO_TOLERANCE = 0.02
PHASE_TOLERANCES_SECONDS = (0.02, 0.05)

Figure = float | None
Figures = dict[str, Figure]


@dataclass(frozen=True)
class Verdict:
    """`late_seconds` and `bar_shift` are None where no beats, or no whole bar, are heard.

    `plain_late_seconds` is by librosa's tracker alone. `melody` counts frames that agree and all
    that were asked for.
    """

    request: Request
    tempo: TempoGuess
    late_seconds: float | None
    plain_late_seconds: float | None
    bar_shift: int | None
    content: Content
    melody: tuple[int, int]


def verdict_of(judges: Judges, take: Take, hearing: Hearing | None = None) -> Verdict:
    """Hears a take (or takes what was heard of it before) and judges it by its request."""
    hearing = hearing or listen(take)
    grid = take.request.grid
    beats = beats_of(hearing, grid)
    return Verdict(
        request=take.request,
        tempo=judges.tempo.guess(take, hearing),
        late_seconds=judges.phase.late_seconds(take, hearing),
        plain_late_seconds=plain_late_seconds(take),
        bar_shift=judges.bars.shift(beats, grid.beats_per_bar),
        content=judges.content.content(hearing, beats, grid.beats_per_bar),
        melody=melody_agreement(heard_classes(take), asked_classes(take)),
    )


def figures_of(verdicts: Sequence[Verdict]) -> Figures:
    """All figures over some takes: shares 0-1, times in ms; None where nothing can be said."""
    figures: Figures = {
        "tempo_within_2_percent": _share(verdicts, _tempo_is_right),
        "tempo_within_2_percent_any_level": _share(verdicts, _tempo_is_near_any_level),
        "plain_librosa_tempo_within_2_percent": _share(verdicts, _plain_tempo_is_right),
        **_phase_figures("phase", [v.late_seconds for v in verdicts]),
        **_phase_figures("plain_librosa_phase", [v.plain_late_seconds for v in verdicts]),
        "downbeat_on_bar": _share(
            [v for v in verdicts if v.bar_shift is not None], lambda v: v.bar_shift == 0
        ),
        "melody_agreement": _melody_share(verdicts),
        "style": _share(verdicts, lambda v: v.content.style == v.request.style),
    }
    for role in verdicts[0].request.roles if verdicts else ():
        figures |= _role_figures(verdicts, role)
    return figures


def _role_figures(verdicts: Sequence[Verdict], role: str) -> Figures:
    asked = [v for v in verdicts if v.request.roles[role]]
    unasked = [v for v in verdicts if not v.request.roles[role]]
    return {
        f"{role}_on": _share(asked, lambda v: v.content.plays(role)),
        f"{role}_off": _share(unasked, lambda v: not v.content.plays(role)),
    }


def _phase_figures(name: str, late_seconds: Sequence[float | None]) -> Figures:
    # A take in which no beats are heard is not in phase.
    late = np.abs([np.inf if seconds is None else seconds for seconds in late_seconds])
    if not len(late):
        return dict.fromkeys((f"{name}_median_ms", *(f"{name}_within_{t}_ms" for t in (20, 50))))
    median = float(np.median(late))
    figures: Figures = {
        f"{name}_median_ms": round(1000 * median, 1) if np.isfinite(median) else None
    }
    for tolerance in PHASE_TOLERANCES_SECONDS:
        share = float((late <= tolerance).mean())
        figures[f"{name}_within_{round(1000 * tolerance)}_ms"] = share
    return figures


def _melody_share(verdicts: Sequence[Verdict]) -> Figure:
    agreeing = sum(v.melody[0] for v in verdicts)
    frames = sum(v.melody[1] for v in verdicts)
    return agreeing / frames if frames else None


def _tempo_is_right(verdict: Verdict) -> bool:
    return is_within(verdict.tempo.bpm, verdict.request.bpm, TEMPO_TOLERANCE)


def _plain_tempo_is_right(verdict: Verdict) -> bool:
    return is_within(verdict.tempo.plain_bpm, verdict.request.bpm, TEMPO_TOLERANCE)


def _tempo_is_near_any_level(verdict: Verdict) -> bool:
    return is_within_any_level(verdict.tempo.bpm, verdict.request.bpm, TEMPO_TOLERANCE)


def _share(verdicts: Sequence[Verdict], holds: Callable[[Verdict], bool]) -> Figure:
    return float(np.mean([holds(v) for v in verdicts])) if verdicts else None
