"""What lies beside an audio file: its captions, and a JSON file of what is known of its music.

`song.txt` has a caption a line. `song.json` may have `captions`, `beats` and `downbeats` in
seconds, `beats_per_bar`, `lead_notes` (`start_seconds`, `end_seconds`, `pitch`), the facts `bpm`,
`style` and `key`, and true or false for each role (`drums`, ...). A value of null is as good as
none, and other keys are left alone. The generator's own JSON files are such files too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.lm_records import ROLES
from musicgen_rt.train.music.beat_grid import BeatGrid
from musicgen_rt.train.music.truth import Truth, truth_from_json

_DEFAULT_BEATS_PER_BAR = 4
_MOST_BEATS_PER_BAR = 32
_BPM = (1.0, 1000.0)
_HIGHEST_PITCH = 127
_NAMED = ("style", "key")


@dataclass(frozen=True)
class LeadNote:
    """A note of the melody: its MIDI pitch, and when it sounds."""

    pitch: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Annotations:
    """`lead_notes` is None where no melody is known; `truth` is that of a generated clip."""

    captions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    grid: BeatGrid | None = None
    lead_notes: tuple[LeadNote, ...] | None = None
    truth: Truth | None = None


def read_annotations(audio: Path) -> Annotations:
    """What is said of an audio file. Raises ParameterError for a file that says it wrongly."""
    lines = _text(audio.with_suffix(".txt")).splitlines()
    captions = [line.strip() for line in lines if line.strip()]
    path = audio.with_suffix(".json")
    table = _table(path)
    if "grid" in table:
        return Annotations(tuple(captions), truth=_truth(path))
    said = _Said(path, table)
    return Annotations(
        captions=(*captions, *said.captions()),
        facts=said.facts(),
        grid=said.grid(),
        lead_notes=said.lead_notes(),
    )


class _Said:
    """The values of a JSON object, each looked at as it is asked for."""

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self._path = path
        self._table = {name: value for name, value in table.items() if value is not None}

    def captions(self) -> list[str]:
        """Captions that are not empty."""
        texts = self._list("captions")
        if not all(isinstance(text, str) for text in texts):
            raise self._wrong("captions", "a list of texts")
        return [text.strip() for text in texts if text.strip()]

    def facts(self) -> dict[str, Any]:
        """Style, key, whole tempo and roles, as far as they are there."""
        facts: dict[str, Any] = {}
        for name in (*_NAMED, *ROLES):
            if name in self._table:
                wanted, text = (str, "a text") if name in _NAMED else (bool, "true or false")
                if not isinstance(self._table[name], wanted):
                    raise self._wrong(name, text)
                facts[name] = self._table[name]
        if "bpm" in self._table:
            facts["bpm"] = round(self._number("bpm", *_BPM))
        return facts

    def grid(self) -> BeatGrid | None:
        """The beats from the first downbeat on; None without two of them."""
        beats, downbeats = self._seconds("beats"), self._seconds("downbeats")
        if beats and not downbeats:
            raise self._wrong("downbeats", "the seconds at which bars begin, as there are beats")
        rest = [beat for beat in beats if beat >= downbeats[0]] if downbeats else []
        if len(rest) < 2:
            return None
        if "beats_per_bar" in self._table:
            per_bar = round(self._number("beats_per_bar", 1, _MOST_BEATS_PER_BAR))
        elif len(downbeats) > 1:
            per_bar = sum(beat < downbeats[1] for beat in rest)
        else:
            per_bar = _DEFAULT_BEATS_PER_BAR
        if not 1 <= per_bar <= _MOST_BEATS_PER_BAR:
            raise self._wrong("downbeats", f"a downbeat each 1 to {_MOST_BEATS_PER_BAR} beats")
        return BeatGrid(tuple(rest), per_bar)

    def lead_notes(self) -> tuple[LeadNote, ...] | None:
        """The melody; None if nothing is said of one."""
        if "lead_notes" not in self._table:
            return None
        notes = []
        for row in self._list("lead_notes"):
            try:
                note = LeadNote(row["pitch"], row["start_seconds"], row["end_seconds"])
                is_right = 0 <= note.pitch <= _HIGHEST_PITCH and note.pitch == int(note.pitch)
                is_right &= -math.inf < note.start_seconds <= note.end_seconds < math.inf
            except (TypeError, KeyError, ValueError, OverflowError):
                is_right = False
            if not is_right:
                raise self._wrong("lead_notes", "objects of pitch, start_seconds and end_seconds")
            notes.append(LeadNote(int(note.pitch), note.start_seconds, note.end_seconds))
        return tuple(notes)

    def _seconds(self, name: str) -> list[float]:
        """Times in order, no two the same."""
        times = self._list(name)
        if not all(_is_number(time) for time in times) or len(set(times)) < len(times):
            raise self._wrong(name, "a list of seconds, no two the same")
        return sorted(float(time) for time in times)

    def _list(self, name: str) -> list[Any]:
        values = self._table.get(name, [])
        if not isinstance(values, list):
            raise self._wrong(name, "a list")
        return values

    def _number(self, name: str, low: float, high: float) -> float:
        value = self._table[name]
        if not _is_number(value) or not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def _wrong(self, name: str, expected: str) -> ParameterError:
        shown = repr(self._table.get(name))[:60]
        return ParameterError(
            f"{self._path}: {name} is {shown}; expected {expected}: mend it or leave it out"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _table(path: Path) -> dict[str, Any]:
    """The object of a JSON file; an empty one if there is no such file."""
    text = _text(path)
    if not text:
        return {}
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"{path} is not JSON ({error}): mend or remove it") from error
    if not isinstance(table, dict):
        raise ParameterError(f"{path} holds a {type(table).__name__}, expected an object")
    return table


def _truth(path: Path) -> Truth:
    try:
        return truth_from_json(_text(path))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParameterError(
            f"{path} is not the truth of a generated clip ({error!r}): write it again with "
            "`musicgen-rt train data`, or name no grid"
        ) from error


def _text(path: Path) -> str:
    """A file's text, empty if there is none."""
    if not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} cannot be read as UTF-8 ({error}): save it so") from error
