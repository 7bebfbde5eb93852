"""A song rendered twice: with its recalls, and with each written out as a copy.

The copy is the control: the same prompts, tune, tempo and seed, and nothing remembered. What is
alike in it owes nothing to the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from musicgen_rt.live.song import Song
from musicgen_rt.live.song_file import read_song
from musicgen_rt.offline.render_job import Job, run_job

Watch = Callable[[str, int, int], None]
DEFAULT_MODEL = "pocket"


@dataclass(frozen=True)
class SongRender:
    """Which song to render, with what. `model` None is the song's own, or the one that ships."""

    score: Path
    audio: Path
    model: str | None = None
    weights: str = "auto"

    @property
    def copies(self) -> Path:
        """Where the song without memory goes: `song.wav` -> `song-copies.wav`."""
        return self.audio.with_stem(f"{self.audio.stem}-copies")


def as_copies(song: Song) -> Song:
    """The same song with nothing remembered. What a recall does not say it has from its source."""
    sections = (replace(one, recall=None, memory_bars=None) for one in song.sections)
    return replace(song, sections=tuple(sections))


def render_both(asked: SongRender, watch: Watch) -> None:
    """Write both files, each with its sidecar. Raises what `read_song` and `run_job` raise."""
    read = read_song(asked.score)
    model = asked.model or read.model or DEFAULT_MODEL
    for part, song, audio in (
        ("the song", read.song, asked.audio),
        ("the song as copies", as_copies(read.song), asked.copies),
    ):
        values: dict[str, Any] = {"song": song, "model": model, "weights": asked.weights}
        run_job(Job(audio=audio, values=values), _Listener(part, watch))


class _Listener:
    """Passes a render's progress on."""

    def __init__(self, part: str, watch: Watch) -> None:
        self._part, self._watch = part, watch

    def loading(self, part: str, done: int, total: int) -> None:
        """Nothing: a second or two."""

    def rendering(self, done_seconds: float, total_seconds: float) -> None:
        self._watch(self._part, int(done_seconds), int(total_seconds))

    def note(self, text: str) -> None:
        """Nothing that counts here: loudness and files' formats."""
