"""What is asked of a pocket model, beside what it reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A figure's place in the report, and the least or the most that it may be."""

    name: str
    place: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Reached:
    """A target with its figure, and the same figure of the generator through the codec."""

    name: str
    figure: float
    least: float | None
    most: float | None
    is_reached: bool
    ceiling: float | None


# By the last third against the first: fewer pitch classes, a spectrum of one tone or of noise.
_WORST = "endless.worst"
_ENTROPY, _FLATNESS = "pitch_class_entropy_last_to_first", "spectral_flatness_last_to_first"

TARGETS = (
    Target("codec: SI-SDR, dB", "codec.si_sdr_db", least=9.0),
    Target("codec: chroma agreement", "codec.chroma_agreement", least=0.88),
    Target("codec: onset F, 50 ms", "codec.onset_f", least=0.88),
    Target("codec: lowest perplexity, part", "codec.lowest_perplexity_part", least=0.4),
    Target("tempo within 2 %", "control.figures.tempo_within_2_percent.model.all", least=0.95),
    Target(
        "tempo within 2 %, drums", "control.figures.tempo_within_2_percent.model.drums", least=0.95
    ),
    Target("beat phase, median ms", "control.figures.phase_median_ms.model.all", most=20.0),
    Target(
        "beat phase, median ms, drums", "control.figures.phase_median_ms.model.drums", most=20.0
    ),
    Target("downbeat on the bar, drums", "control.figures.downbeat_on_bar.model.drums", least=0.8),
    Target("melody agreement", "control.figures.melody_agreement.model.all", least=0.75),
    Target("drums on", "control.figures.drums_on.model.all", least=0.95),
    Target("drums off", "control.figures.drums_off.model.all", least=0.85),
    Target("tempo from text", "text.figures.tempo_within_2_percent.model.all", least=0.85),
    Target("endless: bars within 6 dB, worst", "endless.worst.bars_within_6_db", least=1.0),
    Target("endless: silent bars", "endless.worst.silent_bars", most=0.0),
    Target("endless: tempo error at the end", "endless.worst.end_tempo_error", most=0.01),
    Target("endless: pitch classes kept, part", f"{_WORST}.{_ENTROPY}", least=0.7),
    Target("endless: flatness kept, least part", f"{_WORST}.{_FLATNESS}.0", least=0.25),
    Target("endless: flatness kept, most", f"{_WORST}.{_FLATNESS}.1", most=4.0),
    Target("x real time", "speed.x_real_time", least=6.0),
    Target("load, seconds", "speed.load_seconds", most=2.0),
)


def reached(report: Mapping[str, Any]) -> list[Reached]:
    """Every target whose figure is in the report."""
    rows = []
    for target in TARGETS:
        figure = _at(report, target.place)
        if figure is not None:
            ceiling = _at(report, target.place.replace(".model.", ".codec."))
            has_ceiling = ".model." in target.place
            rows.append(
                Reached(
                    target.name,
                    figure,
                    target.least,
                    target.most,
                    _holds(figure, target),
                    ceiling if has_ceiling else None,
                )
            )
    return rows


def table(rows: list[Reached]) -> str:
    """The targets as lines of text."""
    lines = [f"{'':34}{'figure':>10}{'asked':>10}{'ceiling':>10}"]
    for row in rows:
        asked = f">= {row.least:g}" if row.least is not None else f"<= {row.most:g}"
        ceiling = "" if row.ceiling is None else f"{row.ceiling:.3g}"
        mark = "" if row.is_reached else "  not reached"
        lines.append(f"{row.name:34}{row.figure:>10.4g}{asked:>10}{ceiling:>10}{mark}")
    return "\n".join(lines)


def _holds(figure: float, target: Target) -> bool:
    above = target.least is None or figure >= target.least
    return above and (target.most is None or figure <= target.most)


def _at(report: Mapping[str, Any], place: str) -> float | None:
    """The number at a dotted place, list items by their index; None where there is none."""
    value: Any = report
    for key in place.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            return None
    return float(value) if isinstance(value, int | float) else None
