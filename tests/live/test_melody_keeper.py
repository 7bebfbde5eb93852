"""What is kept of the notes that a performer plays: all that can matter, and no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live import melody_keeper
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody_keeper import MelodyKeeper
from musicgen_rt.live.melody_plan import placements
from musicgen_rt.live.melody_state import MelodyState
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.score import Change, Score

RATE_HZ = 50.0
TIMELINE = Timeline.start(120.0)
# (on, pitch, frames until the next)
plays = st.lists(
    st.tuples(st.booleans(), st.integers(60, 63), st.integers(0, 7)), min_size=1, max_size=30
)


def played(state: MelodyState, some: list[tuple[bool, int, int]]) -> tuple[MelodyState, int]:
    """The state after notes were played in it, and its frame."""
    frame = 10
    for is_on, pitch, frames in some:
        if is_on:
            state = state.note_on(pitch, 1 + pitch, frame, frame, TIMELINE)
        else:
            state = state.note_off(pitch, frame, frame, TIMELINE)
        frame += frames
    return state, frame


@pytest.mark.parametrize("mode", ["follow", "loop"])
@pytest.mark.parametrize("line", ["top", "low", "last", "strongest"])
@pytest.mark.parametrize("release", ["rest", "keep", "free"])
@given(plays)
@settings(deadline=None, max_examples=25)
def test_what_is_over_matters_only_to_who_looks_back(
    mode: str, line: str, release: str, some: list[tuple[bool, int, int]]
) -> None:
    begun = MelodyState().with_line(line).with_release(release).with_mode(mode, 0, TIMELINE)
    state, frame = played(begun, some)

    def told(looks_back: bool) -> list[int | None]:
        """The pitch class of the frames from `frame` on."""
        classes: list[int | None] = [None] * 600
        for one in placements(state, frame, TIMELINE, RATE_HZ, looks_back=looks_back):
            melody = one.melody
            placed = None if melody is None else PlacedMelody(melody, one.start_frame, RATE_HZ)
            for at in range(one.frame, frame + len(classes)):
                classes[at - frame] = None if placed is None else placed.pitch_class_at(at)
        return classes

    assert told(False) == told(True)


class _Engine:
    """As much of an engine as a keeper asks of: a score, and how far one can go back."""

    def __init__(self) -> None:
        self.score = Score({})
        self.timeline = TIMELINE
        self.model = SimpleNamespace(config=SimpleNamespace(frame_rate_hz=RATE_HZ, kind="text"))
        self.earliest_return = 0

    def drop_coming(self, key: str, frame: int) -> None:
        self.score.truncate(frame, key)

    def apply(self, edits: list[Any], frame: int) -> None:
        for edit in edits:
            self.score.set(edit.key, Change(frame, edit.value, edit.ramp_frames))


@pytest.mark.parametrize("mode", ["follow", "loop"])
def test_an_hour_of_playing_keeps_what_can_be_gone_back_to(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(melody_keeper, "_KEEP_TURNS", 100)
    engine = _Engine()
    keeper = MelodyKeeper(cast(Engine, engine))
    keeper.change(0, lambda state: state.with_mode(mode, 0, TIMELINE))
    for frame in range(5, 20_000, 5):
        engine.earliest_return = max(0, frame - 1000)
        pitch = 60 + frame // 10 % 12

        def turn(state: MelodyState, frame: int = frame, pitch: int = pitch) -> MelodyState:
            if frame % 10:
                return state.note_on(pitch, 100, frame, frame, TIMELINE)
            return state.note_off(60 + (frame // 10 - 1) % 12, frame, frame, TIMELINE)

        keeper.change(frame, turn)
        if mode == "follow":
            keeper.tell()
    assert len(keeper._turned) <= 202
    assert keeper.at(18_996).held, "what can be gone back to is as it was"
    if mode == "follow":  # a note or two in each change, however many were played
        assert engine.score.size < 3 * engine.score.num_changes
