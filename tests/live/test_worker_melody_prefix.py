"""A melody checkpoint behind the keyboard: the chroma in front of each window is what was played.

The expected prefix is computed here from the notes alone, by MusicGen's grid (its chroma frame i
lies at i * 4096 samples of 32 kHz): the class of the note that sounds at the frame's centre.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.row_conditions import RowConditions
from musicgen_rt.live.window import Window
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, Rig

CHROMA_HZ = 32000 / 4096
# Each frame hears half a second: only in its middle third it is clear which note it hears.
CLEAR_FRAMES = 13
OPTIONS = EngineOptions(window_seconds=6.0, context_seconds=2.0, history_seconds=30.0)


class Given:
    """What the model was given: each prefix with the window in front of which it stood."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.windows: list[tuple[Window, list[np.ndarray | None]]] = []
        given, chroma = self.windows, RowConditions._chroma
        prefix = RowConditions.prefix

        def seen_prefix(self: Any, rows: Any, window: Window) -> Any:
            given.append((window, []))
            return prefix(self, rows, window)

        def seen_chroma(self: Any, melody: Any, window: Window) -> torch.Tensor:
            made = chroma(self, melody, window)
            given[-1][1].append(None if melody is None else made.numpy().argmax(axis=1))
            return made

        monkeypatch.setattr(RowConditions, "prefix", seen_prefix)
        monkeypatch.setattr(RowConditions, "_chroma", seen_chroma)

    def classes_at(self, frame: int) -> set[int]:
        """The classes that the newest window with a melody has at a frame of the stream."""
        for window, rows in reversed(self.windows):
            melodies = [row for row in rows if row is not None]
            if melodies and window.start <= frame:
                at = round((frame - window.start) / 50 * CHROMA_HZ)
                return {int(row[at]) for row in melodies if at < len(row)}
        raise AssertionError(f"no prefix with a melody before frame {frame}")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


def rig_of(models: dict[str, MusicGen]) -> Rig:
    return Rig(models["melody"], options=OPTIONS, lead_ms=400)


def test_followed_notes_are_the_prefix_from_their_frame_on(
    models: dict[str, MusicGen], given: Given
) -> None:
    rig = rig_of(models)
    rig.command("melody/mode", "follow")
    rig.play(20)
    held: list[tuple[int, int]] = []
    for pitch in (62, 69, 65):
        identity = rig.command("melody/note_on", pitch, 100)
        rig.play(40)
        begun = rig.applied_at(identity)
        held.append((begun, pitch % 12))
        assert given.classes_at(begun + CLEAR_FRAMES) == {pitch % 12}, "heard as soon as played"
        rig.command("melody/note_off", pitch)
    # The newest prefix holds the notes before, too, each at its place.
    window = given.windows[-1][0]
    for begun, pitch_class in held:
        if begun + CLEAR_FRAMES >= window.start:
            assert given.classes_at(begun + CLEAR_FRAMES) == {pitch_class}


def test_a_loop_is_the_prefix_of_every_window_that_it_sounds_in(
    models: dict[str, MusicGen], given: Given
) -> None:
    rig = rig_of(models)
    rig.play(20)
    rig.command("melody/loop_bars", 4)
    mode = rig.command("melody/mode", "loop")
    rig.fill()
    rig.applied_at(mode)
    placed: list[tuple[float, int]] = []
    for pitch in (60, 67):
        heard = rig.reader_frame
        rig.command("melody/note_on", pitch, 100)
        rig.play(44)
        rig.command("melody/note_off", pitch)
        rig.play(4)
        placed.append((heard, pitch % 12))
    length = 4 * BAR
    rig.play(3 * length)
    end = rig.stage.engine.next_frame
    for heard, pitch_class in placed:
        for turn in (2, 3):
            frame = round(heard) + turn * length + 22
            if frame < end:
                assert given.classes_at(frame) == {pitch_class}, (turn, pitch_class)


def test_while_the_next_window_is_read_the_music_goes_on(
    models: dict[str, MusicGen], given: Given
) -> None:
    """A roll that is known ahead is prefilled behind the playing cache: no step waits for it."""
    rig = rig_of(models)
    rig.command("melody/mode", "follow")
    rig.command("melody/note_on", 64, 100)
    rig.play(40)
    seen = len(given.windows)
    begun_at: list[tuple[int, int]] = []
    while len(begun_at) < 2:
        for _ in range(40):
            rig.loop.turn()
            for window, _ in given.windows[seen:]:
                begun_at.append((rig.stage.engine.next_frame, window.since))
            seen = len(given.windows)
        rig.move(1)
    assert all(now < rolls_at for now, rolls_at in begun_at), "reading began before the roll"
    assert not np.isnan(rig.heard).any(), "no hole in what was heard"
