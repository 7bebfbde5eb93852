"""Writing ahead: appends, rewrites with a crossfade, holes, and little room."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState
from musicgen_rt.live.buffer_writer import BufferWriter

RATE_HZ = 1000
FADE = 10  # samples, as 10 ms
GUARD = 10


@pytest.fixture
def buffer() -> TimelineBuffer:
    return TimelineBuffer.create(RATE_HZ, 1, 2000, 500)


def writer_of(buffer: TimelineBuffer, first: int = 0) -> BufferWriter:
    writer = BufferWriter(buffer)
    writer.redirect(first, first)
    return writer


def constant(value: float, count: int) -> np.ndarray:
    return np.full((1, count), value, dtype=np.float32)


def move(buffer: TimelineBuffer, sample: int) -> None:
    buffer.publish_state(PlayoutState.LIVE, 0)
    buffer.publish_reader(sample)
    buffer.commit(sample)


def test_the_first_samples_wait_for_a_reserve_and_then_all_is_appended(
    buffer: TimelineBuffer,
) -> None:
    writer = writer_of(buffer)
    assert writer.put(constant(1, 30), 50) is None
    assert writer.lacks(50)
    written = writer.put(constant(1, 30), 50)
    assert written is not None and (written.first_sample, written.end_sample) == (0, 60)
    written = writer.put(constant(2, 5), 50)
    assert written is not None and not written.is_rewrite
    assert buffer.peek(0, 100).shape == (1, 65)


def test_a_rewrite_keeps_the_old_until_there_is_enough_of_the_new(buffer: TimelineBuffer) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 400), 50)
    move(buffer, 100)
    writer.redirect(200, 200)
    assert writer.put(constant(-1, 30), 50) is None
    assert buffer.snapshot().written_end == 400
    written = writer.put(constant(-1, 30), 50)
    assert written is not None and written.is_rewrite
    heard = buffer.peek(100, 400)[0]
    assert len(heard) == 160
    assert (heard[:100] == 1).all()
    ramp = 1 - 2 * (np.arange(FADE) + 1) / (FADE + 1)
    assert heard[100 : 100 + FADE] == pytest.approx(ramp, abs=1e-6)
    assert (heard[100 + FADE :] == -1).all()


def test_what_comes_too_late_is_left_out(buffer: TimelineBuffer) -> None:
    """The playhead goes on while the new is made: it enters where it still can."""
    writer = writer_of(buffer)
    writer.put(constant(1, 400), 50)
    move(buffer, 100)
    writer.redirect(120, 120)
    writer.put(constant(-1, 30), 50)
    move(buffer, 160)
    assert writer.put(constant(-1, 40), 50) is None
    written = writer.put(constant(-1, 60), 50)
    assert written is not None and written.first_sample == 160 + GUARD
    assert (buffer.peek(100, 70)[0] == 1).all()
    assert buffer.peek(180, 100)[0, -1] == -1


def test_a_standing_playhead_needs_no_guard(buffer: TimelineBuffer) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 400), 50)
    move(buffer, 100)
    buffer.publish_state(PlayoutState.STOPPED, 0)
    assert writer.earliest_sample() == 100
    writer.redirect(80, 80)
    written = writer.put(constant(-1, 100), 50)
    assert written is not None and written.first_sample == 100


def test_samples_from_before_the_place_are_not_wanted(buffer: TimelineBuffer) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 300), 50)
    writer.redirect(150, 200)
    writer.put(constant(-1, 40), 50)
    written = writer.put(constant(-1, 70), 50)
    assert written is not None and (written.first_sample, written.end_sample) == (200, 260)
    assert (buffer.peek(0, 200)[0] == 1).all()


def test_a_change_of_what_is_held_goes_over_within_it(buffer: TimelineBuffer) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 400), 50)
    move(buffer, 100)
    writer.redirect(200, 200)
    writer.put(constant(-1, 45), 50)  # not enough yet, and then something else again
    writer.redirect(230, 230)
    written = writer.put(constant(0.5, 60), 50)
    assert written is not None and (written.first_sample, written.end_sample) == (200, 290)
    heard = buffer.peek(200, 90)[0]
    assert (heard[FADE:30] == -1).all()
    assert (heard[30 + FADE :] == 0.5).all()
    assert (np.diff(heard[29 : 31 + FADE]) > 0).all(), "from the one to the other without a step"


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_what_goes_over_in_small_pieces_goes_over_without_a_step(
    piece: int, buffer: TimelineBuffer
) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 400), 50)
    move(buffer, 100)
    writer.redirect(200, 200)
    writer.put(constant(-1, 60), 80)
    writer.redirect(230, 230)
    # What is held is enough by now, but for the crossfade.
    assert writer.lacks(20) and writer.flush(20) is None
    for _ in range(0, 40, piece):
        writer.put(constant(0.5, piece), 20)
        move(buffer, 100)
    heard = buffer.peek(200, 60)[0]
    assert (heard[FADE:30] == -1).all()
    steps = np.diff(heard[29 : 31 + FADE])
    assert steps == pytest.approx(np.full(len(steps), 1.5 / (FADE + 1)), abs=1e-6)


def test_after_a_hole_a_new_stretch_begins(buffer: TimelineBuffer) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 100), 50)
    move(buffer, 150)
    with pytest.raises(BehindCommitError):
        writer.put(constant(1, 30), 50)
    writer.redirect(190, 200)
    assert writer.put(constant(2, 50), 50) is None
    written = writer.put(constant(2, 20), 50)
    assert written is not None and not written.is_rewrite
    snapshot = buffer.snapshot()
    assert (snapshot.stretch_start, snapshot.written_end) == (200, 260)


def test_music_before_a_hole_is_heard_out(buffer: TimelineBuffer) -> None:
    writer = writer_of(buffer)
    writer.put(constant(1, 200), 50)
    move(buffer, 100)
    writer.redirect(300, 300)
    assert writer.put(constant(2, 100), 50) is None
    assert buffer.snapshot().written_end == 200, "a new stretch would end the old one"
    move(buffer, 200)
    written = writer.flush(50)
    assert written is not None and written.first_sample == 300


def test_what_has_no_room_waits_for_it(buffer: TimelineBuffer) -> None:
    """1500 samples may lie ahead of the playhead; the rest follows as it goes on."""
    writer = writer_of(buffer)
    sound = np.arange(2000, dtype=np.float32)[None]
    written = writer.put(sound, 50)
    assert written is not None and written.end_sample == 1500
    assert writer.end_sample == 2000
    assert writer.flush(50) is None
    move(buffer, 300)
    writer.flush(50)
    assert np.array_equal(buffer.peek(300, 1500), sound[:, 300:1800])
    move(buffer, 600)
    writer.flush(50)
    writer.put(constant(7, 50), 50)
    assert np.array_equal(buffer.peek(600, 1400), sound[:, 600:])
    assert buffer.snapshot().written_end == 2050
