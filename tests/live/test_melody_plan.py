"""Melodies laid out in beats: at every tempo, over changes of metre, with many notes at once."""

from __future__ import annotations

import pytest

from musicgen_rt.contract.timeline import BPM_RANGE, Timeline
from musicgen_rt.live.melody_file import MAX_SECONDS
from musicgen_rt.live.melody_plan import placements
from musicgen_rt.live.melody_state import LOOP_BARS_RANGE, MelodyState, Pattern, PatternNote
from musicgen_rt.live.placed_melody import PlacedMelody

RATE_HZ = 50.0
REST = 12


def classes(state: MelodyState, first: int, end: int, timeline: Timeline) -> list[int | None]:
    """The pitch class asked for at each frame, if nothing more is played."""
    found: list[int | None] = [None] * (end - first)
    for one in placements(state, first, timeline, RATE_HZ):
        melody = one.melody
        placed = None if melody is None else PlacedMelody(melody, one.start_frame, RATE_HZ)
        for at in range(one.frame, end):
            found[at - first] = None if placed is None else placed.pitch_class_at(at)
    return found


def file_of(beats: float, *notes: tuple[int, float, float]) -> Pattern:
    return Pattern(0.0, beats, tuple(PatternNote(pitch, 100, *place) for pitch, *place in notes))


@pytest.mark.parametrize("bpm", BPM_RANGE)
@pytest.mark.parametrize(("beats_per_bar", "beats"), [(1, 1.0), (16, 1.0), (16, MAX_SECONDS)])
def test_a_file_is_laid_out_at_every_tempo(bpm: float, beats_per_bar: int, beats: float) -> None:
    """The shortest and the longest that there are: a beat at 999 BPM, an hour's at 20."""
    timeline = Timeline.start(bpm, beats_per_bar)
    state = MelodyState().with_file(file_of(beats, (60, 0.0, beats)), 0, timeline)
    assert classes(state, 0, 50, timeline)[0] == 0
    (one,) = placements(state, 0, timeline, RATE_HZ)
    assert one.melody is not None
    assert one.melody.loop_seconds == pytest.approx(
        -(-beats // beats_per_bar) * beats_per_bar * 60 / bpm
    )


@pytest.mark.parametrize("bpm", BPM_RANGE)
@pytest.mark.parametrize("bars", LOOP_BARS_RANGE)
def test_a_loop_is_laid_out_at_every_tempo(bpm: float, bars: int) -> None:
    for beats_per_bar in (1, 16):
        timeline = Timeline.start(bpm, beats_per_bar)
        state = MelodyState().with_loop_bars(bars).with_mode("loop", 0, timeline)
        state = state.note_on(62, 100, 0, 0.0, timeline)
        end = round(timeline.bar_line_at(bars))
        assert classes(state, 0, 3, timeline) == [2, 2, 2]
        assert classes(state, end, end + 3, timeline) == [2, 2, 2]


def test_a_loop_ends_on_a_bar_line_where_the_metre_changes_within_it() -> None:
    """Three bars of which the first has four beats, and the others three."""
    timeline = Timeline.start(120.0).with_tempo(200, beats_per_bar=3)
    state = MelodyState().with_loop_bars(3).with_mode("loop", 90, timeline)
    state = state.note_on(62, 100, 101, 101.0, timeline)
    assert state.loop is not None
    assert (state.loop.start_beat, state.loop.beats) == (4.0, 10.0)
    assert timeline.frame_at(14.0) in timeline.bar_start_frames(200, 500)
    even = Timeline.start(93.7, 3)
    state = MelodyState().with_loop_bars(4).with_mode("loop", 0, even).note_on(62, 9, 0, 3.0, even)
    assert state.loop is not None
    assert state.loop.beats == 12.0


def test_ten_held_notes_are_one_line_and_each_is_heard_as_those_above_it_end() -> None:
    timeline = Timeline.start(120.0)
    state = MelodyState().with_mode("follow", 0, timeline)
    pitches = [48 + 5 * n for n in range(10)]
    for n, pitch in enumerate(pitches):
        state = state.note_on(pitch, 100 - n, 10 + n, 10.0 + n, timeline)
    assert classes(state, 20, 60, timeline) == [pitches[-1] % 12] * 40
    low, strong = state.with_line("low"), state.with_line("strongest")
    assert classes(low, 20, 60, timeline) == classes(strong, 20, 60, timeline) == [0] * 40
    for n, pitch in enumerate(reversed(pitches)):
        assert classes(state, 60 + n, 62 + n, timeline)[1] == pitch % 12
        state = state.note_off(pitch, 61 + n, 61.0 + n, timeline)
    assert classes(state, 80, 120, timeline) == [REST] * 40
    assert not state.held


def test_notes_that_are_held_go_on_into_another_mode() -> None:
    """As by a sustain pedal: what is held sounds again as soon as it is followed again."""
    timeline = Timeline.start(120.0)
    state = MelodyState().with_mode("follow", 0, timeline).note_on(64, 100, 10, 10.0, timeline)
    state = state.with_mode("off", 50, timeline)
    assert classes(state, 50, 60, timeline) == [None] * 10
    state = state.with_mode("follow", 60, timeline)
    assert classes(state, 60, 70, timeline) == [4] * 10
    state = state.with_mode("off", 70, timeline).note_off(64, 80, 80.0, timeline)
    state = state.with_mode("follow", 90, timeline)
    assert classes(state, 90, 100, timeline) == [None] * 10


def test_a_file_goes_on_where_it_was_and_another_one_begins() -> None:
    timeline = Timeline.start(120.0)
    begun = MelodyState().with_file(file_of(8.0, (60, 0.0, 1.0)), 30, timeline)
    again = MelodyState().with_file(file_of(8.0, (60, 0.0, 1.0)), 330, timeline)
    assert again.with_file_of(begun).file == begun.file != again.file
    other = MelodyState().with_file(file_of(8.0, (61, 0.0, 1.0)), 330, timeline)
    assert other.with_file_of(begun) == other
    assert again.with_file_of(begun.cleared()) == again
