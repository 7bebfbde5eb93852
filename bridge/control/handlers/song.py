"""Commands that play a song, section by section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.control.message import Value
from bridge.control.turn import Turn
from bridge.refusal import Refusal


def _load(turn: Turn, name: str) -> None:
    path = turn.session.songs.existing(name)
    sets = {"song/file": name, "song/section": None}
    turn.ask_engine("song/load", str(path), sets=sets, answer=_size)


def _size(answer: Mapping[str, Any]) -> tuple[Value, ...]:
    return answer["sections"], answer["bars"]


def _play(turn: Turn) -> None:
    _require_song(turn)
    turn.ask_engine("song/play")


def _section(turn: Turn, section: str) -> None:
    _require_song(turn)
    turn.ask_engine("song/section", section)


def _stop(turn: Turn) -> None:
    turn.ask_engine("song/stop")


def _require_song(turn: Turn) -> None:
    if turn.state["song/file"] is None:
        raise Refusal("no song is loaded: name one with /mgrt/song/load first")


HANDLERS: dict[str, Callable[..., None]] = {
    "song/load": _load,
    "song/play": _play,
    "song/section": _section,
    "song/stop": _stop,
}
