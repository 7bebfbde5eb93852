"""The failover alone: what is read when the engine's music ends, is spoilt, and returns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.playout.failover import BadSamples, Failover, FallbackChanged, Readiness
from bridge.playout.grid import Grid
from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState
from musicgen_rt.contract.timeline import Timeline

RATE_HZ = 32000
BEAT, BAR = 16000, 64000
BLOCK = 160
FADE = 160
START = RETURN = 6400
GRID = Grid(Timeline.start(120), 640)


@pytest.fixture
def buffer() -> Iterator[TimelineBuffer]:
    created = TimelineBuffer.create(RATE_HZ, 1, 40 * RATE_HZ, 20 * RATE_HZ)
    yield created
    created.close()


def _wave(first: int, count: int) -> NDArray[np.float32]:
    """A sawtooth of 10 s: its value tells the place."""
    return (np.arange(first, first + count) % 320_000 / 320_000).astype(np.float32)[None]


def _failover(buffer: TimelineBuffer) -> Failover:
    return Failover(buffer, GRID, START, RETURN)


def _read(failover: Failover, count: int) -> NDArray[np.float32]:
    parts = []
    for _ in range(count // BLOCK):
        assert failover.prepare(BLOCK, is_urgent=True) is Readiness.READY
        parts.append(failover.read(BLOCK))
    return np.concatenate(parts, axis=1)[0]


def test_before_the_first_music_the_playhead_stands(buffer: TimelineBuffer) -> None:
    failover = _failover(buffer)
    assert failover.prepare(BLOCK, is_urgent=True) is Readiness.STANDING
    buffer.write(0, _wave(0, START - 1))
    assert failover.prepare(BLOCK, is_urgent=True) is Readiness.STANDING
    assert (failover.state, failover.position) == (PlayoutState.WAITING, 0)
    buffer.write(START - 1, _wave(START - 1, 1))
    assert failover.prepare(BLOCK, is_urgent=False) is Readiness.READY
    assert failover.state is PlayoutState.LIVE


def test_the_engine_s_samples_are_read_as_they_are(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, BAR))
    played = _read(_failover(buffer), BAR // 2)
    np.testing.assert_array_equal(played[FADE:], _wave(0, BAR // 2)[0, FADE:])
    assert played[0] == 0


def test_no_more_is_committed_than_is_needed(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, BAR))
    failover = _failover(buffer)
    _read(failover, 3200)
    assert buffer.snapshot().commit_sample == 3200 + FADE


def test_it_waits_for_the_engine_as_long_as_nothing_is_urgent(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, START))
    failover = _failover(buffer)
    _read(failover, START - FADE - BLOCK)
    assert failover.prepare(BLOCK, is_urgent=False) is Readiness.READY
    failover.read(BLOCK)
    assert failover.prepare(BLOCK, is_urgent=False) is Readiness.LATER
    # Nothing more is committed while it waits: the engine can go on.
    buffer.write(START, _wave(START, BLOCK))
    assert failover.prepare(BLOCK, is_urgent=False) is Readiness.READY
    assert not [event for event in failover.events if isinstance(event, FallbackChanged)]


def test_when_the_music_ends_the_last_bars_go_on_in_time(buffer: TimelineBuffer) -> None:
    end = 3 * BAR + 5000
    buffer.write(0, _wave(0, end))
    failover = _failover(buffer)
    played = _read(failover, 6 * BAR)
    assert failover.state is PlayoutState.FALLBACK
    assert list(failover.events) == [FallbackChanged(True, end - FADE)]
    # To the last sample that still fades out, it is the engine's.
    np.testing.assert_array_equal(played[FADE : end - FADE], _wave(0, end)[0, FADE : end - FADE])
    # Then bars 1 and 2 in turn, each in the place of a bar: at every offset from the line.
    for bar, source in ((3, 1), (4, 2), (5, 1)):
        inside = slice(bar * BAR + 6000, (bar + 1) * BAR - 300)
        expected = _wave(source * BAR + 6000, BAR - 6300)[0]
        np.testing.assert_array_equal(played[inside], expected)
    # And the way there is a fade, not a step.
    around = played[end - FADE - 10 : end + 10]
    assert np.abs(np.diff(around)).max() < 0.03


def test_it_returns_on_a_bar_line_with_the_attack_whole(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, 2 * BAR + 5000))
    failover = _failover(buffer)
    _read(failover, 2 * BAR + 8000)
    buffer.start_stretch(3 * BAR - 1000)
    buffer.write(3 * BAR - 1000, _wave(3 * BAR - 1000, 20_000))
    first = failover.position
    played = _read(failover, BAR)
    assert failover.state is PlayoutState.LIVE
    assert list(failover.events)[1:] == [FallbackChanged(False, 3 * BAR - FADE)]
    line = 3 * BAR - first
    np.testing.assert_array_equal(played[line:], _wave(3 * BAR, BAR - line)[0])
    assert np.abs(np.diff(played[line - FADE - 5 : line])).max() < 0.05


def test_a_stretch_that_begins_on_the_line_fades_in_behind_it(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, 2 * BAR + 5000))
    failover = _failover(buffer)
    _read(failover, 2 * BAR + 8000)
    buffer.start_stretch(3 * BAR)
    buffer.write(3 * BAR, _wave(3 * BAR, 20_000))
    first = failover.position
    played = _read(failover, BAR)
    assert list(failover.events)[1:] == [FallbackChanged(False, 3 * BAR)]
    line = 3 * BAR - first
    np.testing.assert_array_equal(
        played[line + FADE :], _wave(3 * BAR + FADE, BAR - line - FADE)[0]
    )


@pytest.mark.parametrize("there", [0, RETURN - 1])
def test_without_enough_music_behind_the_line_it_waits_for_the_next(
    buffer: TimelineBuffer, there: int
) -> None:
    buffer.write(0, _wave(0, 2 * BAR + 5000))
    failover = _failover(buffer)
    _read(failover, 2 * BAR + 8000)
    buffer.start_stretch(3 * BAR)
    buffer.write(3 * BAR, _wave(3 * BAR, there))
    _read(failover, BAR)
    assert failover.state is PlayoutState.FALLBACK
    first = 4 * BAR
    buffer.start_stretch(first)
    buffer.write(first, _wave(first, RETURN))
    _read(failover, BAR - 8000 + BLOCK)
    assert list(failover.events)[1:] == [FallbackChanged(False, first)]


def test_the_engine_cannot_write_where_the_loop_has_played(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, START))
    failover = _failover(buffer)
    _read(failover, 2 * BEAT)
    with pytest.raises(BehindCommitError):
        buffer.write(START, _wave(START, 100))
    with pytest.raises(BehindCommitError):
        buffer.start_stretch(2 * BEAT - 1)
    buffer.start_stretch(2 * BEAT)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 100.0, -9.0])
def test_spoilt_samples_are_never_given(buffer: TimelineBuffer, bad: float) -> None:
    samples = _wave(0, 4 * BAR)
    samples[0, 2 * BAR + 777] = bad
    buffer.write(0, samples)
    failover = _failover(buffer)
    played = _read(failover, 4 * BAR - 2 * BEAT)
    assert np.isfinite(played).all()
    assert np.abs(played).max() <= 1
    assert failover.bad_chunks == 1
    fallback = FallbackChanged(True, 2 * BAR + 777 - FADE)
    assert list(failover.events) == [
        BadSamples(2 * BAR + 777),
        fallback,
        FallbackChanged(False, 3 * BAR - FADE),
    ]


def test_music_that_stays_spoilt_is_not_returned_to(buffer: TimelineBuffer) -> None:
    samples = _wave(0, 6 * BAR)
    samples[0, BAR + 100 :: 3000] = np.nan
    buffer.write(0, samples)
    failover = _failover(buffer)
    played = _read(failover, 5 * BAR)
    assert np.isfinite(played).all()
    assert failover.state is PlayoutState.FALLBACK


def test_an_engine_that_dies_while_it_rewrites_is_survived(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, 2 * BAR))
    failover = _failover(buffer)
    _read(failover, BAR)
    buffer._announce_rewrite(BAR + 1000)
    _read(failover, 800)
    for _ in range(3):
        assert failover.prepare(BLOCK, is_urgent=False) is Readiness.LATER
    played = _read(failover, BEAT)
    assert failover.state is PlayoutState.FALLBACK
    assert np.abs(np.diff(played)).max() < 0.05


def test_a_hole_that_opens_behind_the_playhead_is_faded_over(buffer: TimelineBuffer) -> None:
    """The engine starts a stretch later on while its old music still plays."""
    buffer.write(0, _wave(0, 2 * BAR))
    failover = _failover(buffer)
    _read(failover, BAR + BEAT)
    buffer.start_stretch(2 * BAR)
    buffer.write(2 * BAR, _wave(2 * BAR, BAR))
    played = _read(failover, BAR)
    assert [type(event) for event in failover.events] == [FallbackChanged, FallbackChanged]
    assert failover.state is PlayoutState.LIVE
    # Bar 0 in place of bar 1 is 0.2 lower; nothing is steeper than the fade.
    assert np.abs(np.diff(played)).max() < 0.2 / 50


def test_without_any_good_bar_it_is_silence(buffer: TimelineBuffer) -> None:
    buffer.write(0, np.full((1, 8000), 0.5, np.float32))
    played = _read(_failover(buffer), BEAT)
    assert (played[8000:] == 0).all()
    assert np.abs(np.diff(played)).max() < 0.01


def test_a_second_playout_goes_on_where_the_first_one_was(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, 2 * BAR))
    first = _failover(buffer)
    _read(first, BAR + BEAT)
    buffer.publish_reader(first.position)
    second = _failover(buffer)
    assert second.position == BAR + BEAT + FADE
    played = _read(second, BEAT)
    expected = _wave(second.position - BEAT, BEAT)[0]
    np.testing.assert_array_equal(played[FADE:], expected[FADE:])
    assert played[0] < 0.01


def test_a_second_playout_has_the_first_one_s_bars_to_loop(buffer: TimelineBuffer) -> None:
    buffer.write(0, _wave(0, BAR + BEAT))
    _read(_failover(buffer), BAR + BEAT - FADE)
    buffer.publish_reader(BAR + BEAT - FADE)
    second = _failover(buffer)
    played = _read(second, BEAT)
    assert second.state is PlayoutState.FALLBACK
    expected = _wave(second.position - BEAT - BAR, BEAT)[0]
    np.testing.assert_array_equal(played[FADE:], expected[FADE:])


def test_a_late_first_stretch_is_reached_through_silence(buffer: TimelineBuffer) -> None:
    failover = _failover(buffer)
    buffer.start_stretch(BAR)
    buffer.write(BAR, _wave(BAR, 3 * BEAT))
    played = _read(failover, BAR + BEAT)
    assert (played[:BAR] == 0).all()
    np.testing.assert_array_equal(played[BAR + FADE :], _wave(BAR + FADE, BEAT - FADE)[0])
