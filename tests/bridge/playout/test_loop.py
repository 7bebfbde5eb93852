"""The loop of the last good bars: which bars, on which beat, and how it joins."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.playout.grid import Grid
from bridge.playout.history import History, Stretch
from bridge.playout.loop import Loop, LoopBars, choose_bars
from musicgen_rt.contract.timeline import Timeline

RATE_HZ = 32000
HOP = 640
FADE = 256
GRID = Grid(Timeline.start(120), HOP)
BEAT, BAR = 16000, 64000


def _history(first: int, end: int) -> History:
    """Each sample holds its own position."""
    history = History(1, 20 * RATE_HZ)
    history.append(first, np.arange(first, end, dtype=np.float32)[None])
    return history


def _play(
    history: History, bars: LoopBars, first: int, count: int, grid: Grid = GRID
) -> NDArray[np.float32]:
    loop = Loop(history, bars, grid, first, RATE_HZ)
    chunks = [160] * (count // 160) + [count % 160]
    return np.concatenate([loop.read(n) for n in chunks if n], axis=1)[0]


def _chosen(*stretches: tuple[int, int], grid: Grid = GRID) -> LoopBars:
    bars = choose_bars(tuple(Stretch(*one) for one in stretches), grid)
    assert bars is not None
    return bars


@pytest.mark.parametrize(
    ("start", "end", "first_bar", "count"),
    [
        (0, 9.5, 5, 4),
        (0.1, 5, 1, 4),
        (0.1, 4.9, 2, 2),
        (0, 3, 1, 2),
        (0.5, 2.2, 1, 1),
        (7, 8, 7, 1),
    ],
)
def test_the_last_whole_bars_are_chosen(
    start: float, end: float, first_bar: int, count: int
) -> None:
    bars = _chosen((round(start * BAR), round(end * BAR)))
    assert bars.first_bar == first_bar
    expected = [
        tuple((first_bar + bar) * BAR + beat * BEAT for beat in range(4)) for bar in range(count)
    ]
    assert bars.beats == tuple(expected)


def test_whole_bars_of_an_earlier_stretch_beat_a_piece_of_the_last() -> None:
    assert _chosen((0, 2 * BAR), (4 * BAR, 4 * BAR + 3 * BEAT)).first_bar == 0


def test_without_a_whole_bar_the_last_beats_serve() -> None:
    bars = _chosen((0, 3 * BEAT + 100))
    assert sorted(bars.beats[0]) == [BEAT, 2 * BEAT]
    # Even beats stand on even ones.
    assert bars.beats[0][0] == 2 * BEAT


def test_without_a_whole_beat_there_is_no_loop() -> None:
    assert choose_bars((Stretch(100, BEAT - 1),), GRID) is None
    assert choose_bars((), GRID) is None


def test_every_beat_sounds_in_its_place() -> None:
    """Entered in the middle of a bar, over three rounds of two bars."""
    history = _history(0, 3 * BAR + 1234)
    bars = _chosen((0, 3 * BAR + 1234))
    first = 3 * BAR + 1234
    played = _play(history, bars, first, 6 * BAR)
    positions = np.arange(first, first + 6 * BAR)
    # Bars 1 and 2 are repeated: odd bars play bar 1, even ones bar 2.
    source = positions % (2 * BAR) + np.where(positions % (2 * BAR) >= BAR, 0, 2 * BAR)
    is_fading = (BAR - positions) % (2 * BAR) <= FADE
    np.testing.assert_array_equal(played[~is_fading], source[~is_fading])


def test_the_join_fades_and_leaves_the_attack_whole() -> None:
    history = _history(0, 3 * BAR)
    played = _play(history, _chosen((0, 3 * BAR)), 3 * BAR, 3 * BAR)
    line = 2 * BAR  # bar 5 plays bar 1 again, after bar 2
    assert played[line] == BAR
    before = played[line - FADE : line]
    outgoing = np.arange(3 * BAR - FADE, 3 * BAR)
    incoming = np.arange(BAR - FADE, BAR)
    weights = (outgoing - before) / (outgoing - incoming)
    assert ((weights > -1e-3) & (weights < 1 + 1e-3)).all()
    assert (np.diff(weights) > -1e-3).all()
    assert played[line - FADE - 1] == 3 * BAR - FADE - 1


def test_without_music_before_the_loop_it_fades_out_and_in() -> None:
    history = History(1, 20 * RATE_HZ)
    history.append(BAR, np.ones((1, BAR), np.float32))
    played = _play(history, _chosen((BAR, 2 * BAR)), 2 * BAR, 2 * BAR)
    around = played[BAR - FADE - 5 : BAR + FADE + 5]
    assert np.abs(np.diff(around)).max() < 0.02
    assert around.min() < 0.02
    assert (played[: BAR - FADE] == 1).all()
    assert (played[BAR + FADE :] == 1)[: BAR // 2].all()


@pytest.mark.parametrize("bpm", [124.0, 97.3])
def test_at_any_tempo_the_loop_does_not_drift(bpm: float) -> None:
    """Bars are no whole number of samples long; after 40 rounds a beat is still in its place."""
    grid = Grid(Timeline.start(bpm), HOP)
    bar = 4 * 60 * RATE_HZ / bpm
    end = round(3 * bar)
    history = _history(0, end)
    loop = Loop(history, _chosen((0, end), grid=grid), grid, end, RATE_HZ)
    loop.read(round(80 * bar))
    line = grid.bar_line_at_or_after(end + round(80 * bar) + 1)
    loop.read(line.sample - end - round(80 * bar))
    source = float(loop.read(1)[0, 0])
    expected = bar if line.bar % 2 else 2 * bar
    assert abs(source - expected) <= 1


@pytest.mark.parametrize("bpm", [110.0, 131.0])
def test_when_the_tempo_changes_every_beat_begins_on_the_new_grid(bpm: float) -> None:
    """Slower, a beat's end is prolonged; faster, it is cut."""
    history = _history(0, 2 * BAR)
    grid = Grid(Timeline.start(120).with_tempo(2 * BAR // HOP, bpm), HOP)
    played = _play(history, _chosen((0, 2 * BAR)), 2 * BAR, 3 * BAR, grid)
    lines = [line for line, _ in zip(grid.beat_lines(2 * BAR), range(10), strict=False)]
    for line in lines:
        source = played[line.sample - 2 * BAR]
        assert source == (line.bar % 2) * BAR + line.beat * BEAT


def test_a_timeline_that_changes_in_the_loop_is_followed() -> None:
    history = _history(0, 2 * BAR)
    loop = Loop(history, _chosen((0, 2 * BAR)), GRID, 2 * BAR, RATE_HZ)
    loop.read(BEAT // 2)
    frame = (2 * BAR + BEAT) // HOP
    grid = Grid(Timeline.start(120).with_tempo(frame, 100), HOP)
    loop.set_grid(grid)
    second, third = (
        line.sample for line, _ in zip(grid.beat_lines(2 * BAR + BEAT), "ab", strict=False)
    )
    assert third - second == 19200
    loop.read(third - 2 * BAR - BEAT // 2)
    assert loop.read(1)[0, 0] == 2 * BEAT
