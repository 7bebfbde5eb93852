"""Reads a song from TOML: what a section does not say is said above it, or by what it recalls."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_rt.errors import ParameterError, PromptError
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.song import Section, Song, Tune

_MAX_BYTES = 1_000_000
# What may stand at the top for all sections, and in a section.
_SHARED = ("bpm", "beats_per_bar", "key", "negative", "attributes", "parameters")
_SHARED_PLAY = ("prompt", "prompts", "melody")
_ONLY_SONG = ("title", "model", "section")
_ONLY_SECTION = ("name", "bars", "start_bar", "transition_bars", "recall", "memory_bars")
_MERGED = ("attributes", "parameters")
_MIDI_SUFFIXES = (".mid", ".midi")
_BEAT_DEFAULT = {"bpm": 120.0, "beats_per_bar": 4}


@dataclass(frozen=True)
class SongFile:
    """A song, and the checkpoint that its file names, if any."""

    song: Song
    model: str | None


def read_song(path: Path) -> SongFile:
    """The song of a TOML file; melodies named in it are sought beside it.

    Raises ParameterError naming the section and the key, PromptError for texts and AudioFileError
    for a melody that cannot be read.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            raise ParameterError(f"{path} is no file of up to {_MAX_BYTES} bytes: expected a song")
        top = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ParameterError(f"{path} is not TOML ({error})") from error
    try:
        return song_from(top, path.parent)
    except ParameterError as error:
        kind = PromptError if isinstance(error, PromptError) else ParameterError
        raise kind(f"{path}: {error}") from error


def song_from(top: Mapping[str, Any], folder: Path) -> SongFile:
    """The song that parsed TOML says. Raises as `read_song`."""
    _check_keys(top, (*_SHARED, *_SHARED_PLAY, *_ONLY_SONG), "the song")
    rows = top.get("section", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ParameterError("section is no list of tables: expected [[section]] before each")
    if not rows:
        raise ParameterError("the song is empty: expected one [[section]] or more")
    title, model = top.get("title", "Untitled"), top.get("model")
    if not isinstance(title, str) or not isinstance(model, str | None):
        raise ParameterError(f"title {title!r}, model {model!r}: expected texts")
    shared = {key: top[key] for key in (*_SHARED, *_SHARED_PLAY) if key in top}
    sections: list[Section] = []
    said: dict[str, dict[str, Any]] = {}
    bar = 1
    for number, row in enumerate(rows, 1):
        name = row.get("name", f"section {number}")
        _check_keys(row, (*_SHARED, *_SHARED_PLAY, *_ONLY_SECTION), f"section {name!r}")
        recalled = said.get(str(row.get("recall")), {})
        values = _merged(shared, recalled, row)
        said[str(name)] = values
        sections.append(_section(name, row, values, folder))
        _check_start(row.get("start_bar"), bar, sections)
        bar += sections[-1].bars
    return SongFile(Song(title, tuple(sections)), model)


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """What holds after layers that each may say something anew; tables are merged key by key."""
    values: dict[str, Any] = {}
    for layer in layers:
        for key in (*_SHARED, *_SHARED_PLAY):
            if key not in layer:
                continue
            if key in ("prompt", "prompts"):
                values.pop("prompt", None)
                values.pop("prompts", None)
            is_table = key in _MERGED and isinstance(layer[key], dict)
            values[key] = {**values.get(key, {}), **layer[key]} if is_table else layer[key]
    return values


def _section(name: Any, row: Mapping[str, Any], values: Mapping[str, Any], folder: Path) -> Section:
    """A section from what it says itself and what holds in it."""
    where = f"section {name!r}"
    if "bars" not in row:
        raise ParameterError(f"{where} has no bars: expected its length")
    for key in _MERGED:
        if not isinstance(values.get(key, {}), dict):
            raise ParameterError(f"{where}: {key} is {values[key]!r}: expected a table")
    try:
        melody = _tune(values.get("melody"), folder)
        prompts = _prompts(values)
    except ParameterError as error:
        raise type(error)(f"{where}: {error}") from error
    own = {key: row[key] for key in ("transition_bars", "recall", "memory_bars") if key in row}
    return Section(
        name=name,
        bars=row["bars"],
        prompts=prompts,
        melody=melody,
        negative=values.get("negative") or None,
        key=values.get("key") or None,
        attributes=values.get("attributes", {}),
        parameters=values.get("parameters", {}),
        **{key: values.get(key, default) for key, default in _BEAT_DEFAULT.items()},
        **own,
    )


def _prompts(values: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """`prompt = "text"`, or `prompts = { "text" = weight, ... }`."""
    if "prompts" in values:
        table = values["prompts"]
        if not isinstance(table, dict):
            raise ParameterError('prompts is no table: expected { "text" = weight }')
        return tuple(Prompt(text, weight) for text, weight in table.items())
    if "prompt" not in values:
        raise ParameterError('no prompt: expected prompt = "text", or recall = "a section"')
    if not isinstance(values["prompt"], str):
        raise PromptError(f"prompt is {values['prompt']!r}: expected text")
    return (Prompt(values["prompt"]),)


def _tune(said: Any, folder: Path) -> Tune | None:
    """`"FILE.mid"`, `{ beats = N, notes = [[start, length, pitch], ...] }`, or none for "" ."""
    if said is None or said == "":
        return None
    if isinstance(said, str):
        return _midi_tune(folder / said)
    if not isinstance(said, dict) or set(said) != {"beats", "notes"}:
        raise ParameterError("melody: expected a MIDI file's name or { beats = ..., notes = ... }")
    notes = said["notes"]
    if not isinstance(notes, list) or not all(isinstance(note, list) for note in notes):
        raise ParameterError("the notes of a melody: expected [[start, length, pitch], ...]")
    return Tune(tuple(tuple(note) for note in notes), said["beats"])


def _midi_tune(path: Path) -> Tune:
    """A MIDI file's top line, looped with the file's length rounded up to a beat."""
    if path.suffix.lower() not in _MIDI_SUFFIXES:
        raise ParameterError(f"melody {path.name!r}: expected a MIDI file, {_MIDI_SUFFIXES[0]}")
    from musicgen_rt.live.melody_file import read_midi_notes
    from musicgen_rt.model.notes import reduce_polyphony

    notes, beats = read_midi_notes(path, seconds_per_beat=1.0)
    line = reduce_polyphony(notes)
    rows = tuple((n.start_seconds, n.end_seconds - n.start_seconds, n.pitch) for n in line)
    return Tune(rows, float(max(1, -(-beats // 1))))


def _check_keys(row: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in row:
        if key not in known:
            raise ParameterError(f"{where}: key {key!r}: expected one of {', '.join(known)}")
    if "prompt" in row and "prompts" in row:
        raise ParameterError(f"{where}: prompt and prompts are given: expected one of them")


def _check_start(start_bar: Any, bar: int, sections: list[Section]) -> None:
    """A section that says its bar must begin where the one before ends."""
    if start_bar is None or start_bar == bar:
        return
    name = sections[-1].name
    if len(sections) > 1 and isinstance(start_bar, int) and start_bar < bar:
        before = sections[-2]
        raise ParameterError(
            f"section {name!r} begins in bar {start_bar} and overlaps {before.name!r}, which lasts "
            f"to the end of bar {bar - 1}: expected start_bar {bar}, or none"
        )
    raise ParameterError(
        f"section {name!r}: start_bar is {start_bar!r}: expected {bar}, where what comes before "
        "ends, or none"
    )
