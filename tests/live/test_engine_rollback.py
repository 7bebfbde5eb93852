"""Going back: unchanged it is the same music, changed it is as if the change had been planned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from musicgen_rt.errors import HistoryError
from musicgen_rt.live.chunk import Chunk
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.model.notes import Note
from tests.live.conftest import EngineMaker

TUNE = melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0)
OTHER_TUNE = melody_from_notes([Note(64, 0.0, 0.4)], loop_seconds=0.5)
END = 125

Action = Callable[[Engine, int], None]


def start(engine: Engine) -> Engine:
    """A session where something happens: two slots, a ramp from 55 to 75, rolls at 50, 80, ..."""
    engine.set_parameter("seed", 11)
    engine.set_prompt("deep house")
    engine.set_prompt("warm strings", 1, weight=0.0)
    engine.set_weight(1, 0.8, ramp_frames=20, at_frame=55)
    config = engine.model.config
    if config.kind == "melody" or config.frame_conditioning is not None:
        engine.set_melody(TUNE)
    return engine


def play(engine: Engine, end: int = END, chunk: int = 20) -> list[Chunk]:
    return [
        engine.step(min(chunk, end - engine.next_frame))
        for _ in range(-(-(end - engine.next_frame) // chunk))
    ]


def audio_of(chunks: list[Chunk]) -> np.ndarray:
    """What a listener has in the end: later chunks replace earlier ones from their place on."""
    end = max(chunk.first_sample + chunk.samples.shape[1] for chunk in chunks)
    audio = np.zeros((chunks[0].samples.shape[0], end), dtype=np.float32)
    for chunk in chunks:
        audio[:, chunk.first_sample : chunk.first_sample + chunk.samples.shape[1]] = chunk.samples
    return audio


@pytest.mark.parametrize("name", ["text", "stereo", "melody", "frame"])
def test_without_a_change_tokens_and_samples_are_the_same(
    name: str, engine_of: EngineMaker
) -> None:
    engine = start(engine_of(name))
    chunks = play(engine)
    codes, audio = engine.codes(0, END - 3), audio_of(chunks)
    # Near, across a roll, across several, into the ramp, to a change of rows and just after it.
    for frame in (123, 111, 110, 82, 60, 55, 49, 0) if name == "text" else (110, 81, 30):
        engine.rollback(frame)
        assert engine.next_frame == frame
        assert engine.next_sample <= max(0, frame - 3) * 640
        again = play(engine, chunk=25)
        assert again[0].first_sample == engine.model.codec.samples_ready(max(0, frame - 3))
        assert np.array_equal(engine.codes(0, END - 3), codes), f"after going back to {frame}"
        assert np.abs(audio_of(chunks + again) - audio).max() <= 1e-6


def swap(engine: Engine, frame: int) -> None:
    engine.set_prompt("cold rain", at_frame=frame)


def add_slot(engine: Engine, frame: int) -> None:
    engine.set_prompt("brass", 4, weight=0.6, ramp_frames=15, at_frame=frame)


def ramp(engine: Engine, frame: int) -> None:
    engine.set_weight(0, 0.2, ramp_frames=33, at_frame=frame)


def drop(engine: Engine, frame: int) -> None:
    engine.clear_prompt(0, at_frame=frame)


def guide(engine: Engine, frame: int) -> None:
    engine.set_parameter("cfg", 1.5, ramp_frames=10, at_frame=frame)


def no_guidance(engine: Engine, frame: int) -> None:
    engine.clear_prompt(1, at_frame=frame)
    engine.set_parameter("cfg", 1, at_frame=frame)


def seed(engine: Engine, frame: int) -> None:
    engine.set_parameter("seed", 99, at_frame=frame)


def cooler(engine: Engine, frame: int) -> None:
    engine.set_parameter("temperature", 0.7, at_frame=frame)
    engine.set_parameter("top_k", 12, at_frame=frame)


def negative(engine: Engine, frame: int) -> None:
    engine.set_negative_prompt("hiss", at_frame=frame)


def tempo(engine: Engine, frame: int) -> None:
    engine.set_tempo(97.0, 3, at_frame=frame)


def melody(engine: Engine, frame: int) -> None:
    engine.set_melody(OTHER_TUNE, at_frame=frame)


def no_melody(engine: Engine, frame: int) -> None:
    engine.set_melody(None, at_frame=frame)


def drums(engine: Engine, frame: int) -> None:
    engine.set_attribute("drums", True, at_frame=frame)


ANYWHERE = [swap, add_slot, ramp, drop, guide, no_guidance, seed, cooler, negative, tempo]
CASES: list[tuple[str, Action]] = [
    *(("text", action) for action in ANYWHERE),
    *(("melody", action) for action in (swap, add_slot, melody, no_melody)),
    *(("frame", action) for action in (melody, drums, tempo)),
    ("stereo", swap),
]
IDS = [f"{name}-{action.__name__}" for name, action in CASES]


@pytest.mark.parametrize(("name", "action"), CASES, ids=IDS)
def test_a_change_is_as_if_it_had_been_planned(
    name: str, action: Action, engine_of: EngineMaker
) -> None:
    frame = 62 if action in (add_slot, ramp, no_guidance) else 97  # within the ramp, or after it
    planned = start(engine_of(name))
    action(planned, frame)
    play(planned, chunk=50)
    expected = planned.codes(0, END - 3)
    live = start(engine_of(name))
    play(live)
    before = live.codes(0, END - 3)
    action(live, frame)
    assert live.next_frame == frame
    play(live)
    found = live.codes(0, END - 3)
    assert np.array_equal(found, expected)
    assert np.array_equal(found[0, :frame], before[0, :frame])
    if action is not tempo or name == "frame":
        assert not np.array_equal(found, before), "the change must matter"


def one_by_one(engine: Engine, end: int) -> None:
    """Steps so small that the next window is read ahead as early as it can be."""
    while engine.next_frame < end:
        engine.step(1)


@pytest.mark.parametrize(
    ("name", "action"),
    [("text", swap), ("text", seed), ("melody", swap), ("melody", melody), ("frame", drums)],
)
@pytest.mark.parametrize("at", [43, 37])
def test_a_change_while_the_next_window_is_read_ahead(
    name: str, action: Action, at: int, engine_of: EngineMaker
) -> None:
    """The window that opens at 50 is being read from 30 on: what was read may be wrong now."""
    planned = start(engine_of(name))
    action(planned, at)
    play(planned, 70, chunk=50)
    for late in (0, 5):
        live = start(engine_of(name))
        one_by_one(live, at + late)
        action(live, at)
        one_by_one(live, 50)
        play(live, 70)
        assert np.array_equal(live.codes(0, 67), planned.codes(0, 67)), f"{late} frames late"


def test_a_memory_that_changes_while_it_is_read_ahead(engine_of: EngineMaker) -> None:
    made = []
    for is_late in (False, True):
        engine = start(engine_of("text"))
        one_by_one(engine, 25)
        engine.set_memory(0, 18)
        if not is_late:
            engine.set_memory(3, 18)
        one_by_one(engine, 48)
        if is_late:
            engine.set_memory(3, 18)
        play(engine, 100)
        made.append(engine.codes(0, 97))
    assert np.array_equal(made[0], made[1])


def test_a_condition_that_changes_at_every_frame(engine_of: EngineMaker) -> None:
    planned, live = start(engine_of("frame")), start(engine_of("frame"))
    for frame in range(25, 60):
        planned.set_attribute("drums", frame % 2 == 0, at_frame=frame)
    play(planned, 90)
    one_by_one(live, 25)
    for frame in range(25, 60):
        live.set_attribute("drums", frame % 2 == 0)
        live.step(1)
    play(live, 90)
    assert np.array_equal(live.codes(0, 87), planned.codes(0, 87))


@pytest.mark.parametrize("name", ["text", "melody", "frame"])
def test_several_changes_back_and_forth(name: str, engine_of: EngineMaker) -> None:
    """Rows come and go, and a way back leads past each of these changes."""
    live = start(engine_of(name))
    play(live, 122)
    for action, frame, end in (
        (add_slot, 116, 124),
        (no_guidance, 119, 122),
        (swap, 102, 119),
        (negative, 115, 121),
        (drop, 62, 121),
    ):
        action(live, frame)
        play(live, end, chunk=7)
        live.rollback(frame + 2)
        live.rollback(frame + 1)
    play(live)
    planned = start(engine_of(name))
    for action, frame in ((drop, 62), (swap, 102), (negative, 115)):
        action(planned, frame)
    add_slot(planned, 116)
    no_guidance(planned, 119)
    play(planned, chunk=50)
    assert np.array_equal(live.codes(0, END - 3), planned.codes(0, END - 3))


def test_rows_that_were_swapped_out_find_their_own_past(engine_of: EngineMaker) -> None:
    """Taking a prompt out and back in at the same frame is as if it had never been out."""
    engine = start(engine_of("text"))
    play(engine, 100)
    expected = start(engine_of("text"))
    play(expected)
    engine.clear_prompt(1, at_frame=90)
    play(engine, 98)
    engine.set_prompt("warm strings", 1, weight=0.8, at_frame=90)
    play(engine)
    assert np.array_equal(engine.codes(0, END - 3), expected.codes(0, END - 3))


def test_how_far_back(engine_of: EngineMaker) -> None:
    engine = start(engine_of("text"))  # remembers 4 s = 200 frames
    play(engine, 700, chunk=50)
    earliest = engine.earliest_return
    assert 300 <= earliest <= 500
    codes = engine.codes(earliest, 697)
    for frame in (earliest - 1, 0, 701, -1):
        with pytest.raises((HistoryError, ValueError), match="expected"):
            engine.rollback(frame)
        assert engine.next_frame == 700
    engine.rollback(earliest)
    play(engine, 700, chunk=50)
    assert np.array_equal(engine.codes(earliest, 697), codes)


def test_frames_that_were_given_cannot_be_taken_back(engine_of: EngineMaker) -> None:
    engine = engine_of("text")
    given = np.random.default_rng(0).integers(0, 64, (4, 70))
    engine.continue_codes(given)
    play(engine, 130)
    codes = engine.codes(0, 127)
    assert np.array_equal(codes[:, :70], given)
    for frame in (110, 100, 72, 71, 70):
        engine.rollback(frame)
        play(engine, 130)
        assert np.array_equal(engine.codes(0, 127), codes)
    with pytest.raises(HistoryError, match="70 to 130"):
        engine.rollback(69)


def test_large_steps_can_be_taken_back(engine_of: EngineMaker) -> None:
    engine = start(engine_of("text"))
    for _ in range(3):
        engine.step(200)
    codes = engine.codes(410, 597)
    engine.rollback(410)
    chunk = engine.step(190)
    assert chunk.first_sample == engine.model.codec.samples_ready(407)
    assert np.array_equal(engine.codes(410, 597), codes)
