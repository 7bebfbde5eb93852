"""What lies beside an audio file: read as it is meant, or refused with the file's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.clip_annotations import LeadNote, read_annotations


def beside(folder: Path, table: Any = None, captions: bytes | None = None) -> Path:
    """An audio file's path, with the files beside it."""
    if table is not None:
        (folder / "song.json").write_text(json.dumps(table), encoding="utf-8")
    if captions is not None:
        (folder / "song.txt").write_bytes(captions)
    return folder / "song.wav"


def test_facts_beats_and_melody(tmp_path: Path) -> None:
    table = {
        "bpm": 119.97, "style": "house", "drums": False, "bass": None, "seed": 3,
        "beats": [2.0, 1.0, 1.5, 2.5, 0.5], "downbeats": [1.0, 2.5],
        "lead_notes": [{"pitch": 61, "start_seconds": 0, "end_seconds": 0.5, "velocity": 1}],
        "captions": ["  ", "four to the floor"],
    }  # fmt: skip
    known = read_annotations(beside(tmp_path, table, "\ufeffa caf\u00e9\n\n".encode()))
    assert known.captions == ("a caf\u00e9", "four to the floor")
    assert known.facts == {"bpm": 120, "style": "house", "drums": False}
    assert known.grid is not None
    assert known.grid.edges_seconds == (1.0, 1.5, 2.0, 2.5) and known.grid.beats_per_bar == 3
    assert known.lead_notes == (LeadNote(61, 0, 0.5),)


def test_nothing_beside_it_says_nothing(tmp_path: Path) -> None:
    known = read_annotations(tmp_path / "song.wav")
    assert (known.captions, known.facts, known.grid, known.lead_notes) == ((), {}, None, None)
    assert read_annotations(beside(tmp_path, {"beats": None})).grid is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"bpm": "fast"}, "bpm is 'fast'; expected a number"),
        ({"bpm": 0}, "bpm is 0; expected a number from 1"),
        ({"bpm": float("nan")}, "bpm is nan"),
        ({"bpm": True}, "bpm is True"),
        ({"drums": "yes"}, "drums is 'yes'; expected true or false"),
        ({"style": 3}, "style is 3"),
        ({"captions": "one"}, "captions is 'one'; expected a list"),
        ({"captions": [1]}, "expected a list of texts"),
        ({"beats": [0.5, 1.0]}, "downbeats is None"),
        ({"beats": 120, "downbeats": [0]}, "beats is 120"),
        ({"beats": [0, 0, 1], "downbeats": [0]}, "no two the same"),
        ({"beats": [0, "1"], "downbeats": [0]}, "a list of seconds"),
        ({"beats": [0, 1], "downbeats": [0], "beats_per_bar": 0}, "beats_per_bar is 0"),
        ({"beats": [1, 2], "downbeats": [0, 0.5]}, "a downbeat each 1 to 32 beats"),
        ({"lead_notes": [{"pitch": 60}]}, "lead_notes is"),
        ({"lead_notes": [{"pitch": 200, "start_seconds": 0, "end_seconds": 1}]}, "lead_notes is"),
        ({"lead_notes": [{"pitch": 60, "start_seconds": 1, "end_seconds": 0}]}, "lead_notes is"),
        ({"lead_notes": [["C4"]]}, "lead_notes is"),
        ({"grid": {}}, "not the truth of a generated clip"),
        ({"grid": 4}, "not the truth of a generated clip"),
        ([1], "holds a list"),
    ],
)
def test_what_is_said_wrongly_is_named(tmp_path: Path, table: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        read_annotations(beside(tmp_path, table))
    assert "song.json" in str(caught.value)


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"song\.txt cannot be read as UTF-8"):
        read_annotations(beside(tmp_path, captions="caf\u00e9".encode("latin-1")))
    audio = beside(tmp_path, captions=b"fine")
    (tmp_path / "song.json").write_text("{")
    with pytest.raises(ParameterError, match=r"song\.json is not JSON"):
        read_annotations(audio)
