"""Windows joined at bar lines from pieces of several clips, so that attributes must be heard.

In a window of one clip the past says already who plays and in which style, and nothing is left for
the attribute conditioners to explain. Behind a join the past says nothing of what comes: there a
model learns to change as it is told, at once, as a performer asks of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_rt.train.lm_records import NO_TEMPO, ClipLibrary, Codes, FrameTruth

# Of so many clips the one nearest in tempo goes on: joins must not teach that a new tempo means
# new music.
_CANDIDATES = 8


@dataclass(frozen=True)
class Piece:
    """Frames start .. start + frames - 1 of the library's clip `index`."""

    index: int
    start: int
    frames: int


@dataclass(frozen=True)
class JoinConfig:
    """`share` of the windows are joined from pieces of at least `shortest_frames`, and of up to
    `longest_frames` and the rest of the bar."""

    share: float
    shortest_frames: int
    longest_frames: int


def joined_pieces(
    rng: np.random.Generator, library: ClipLibrary, first: Piece, config: JoinConfig
) -> list[Piece]:
    """The pieces of a window that begins with `first` and is as long as it.

    Every piece ends and all but the first begin on a bar; a clip without known bars goes on to the
    window's end.
    """
    pieces: list[Piece] = []
    piece = first
    while True:
        end = _end(rng, library, piece, config)
        left = piece.start + piece.frames - end
        following = _following(rng, library, piece.index, end, left) if left else None
        if following is None:
            return [*pieces, piece]
        pieces.append(Piece(piece.index, piece.start, end - piece.start))
        piece = following


def read_pieces(
    library: ClipLibrary, pieces: list[Piece]
) -> tuple[Codes, list[tuple[int, FrameTruth]]]:
    """Codes [K, T] of all pieces in a row, and (clip, truth) of each."""
    read = [(p.index, *library.window(p.index, p.start, p.frames)) for p in pieces]
    codes = np.concatenate([codes for _, codes, _ in read], axis=-1)
    return codes, [(index, truth) for index, _, truth in read]


def joined_truth(truths: list[FrameTruth]) -> FrameTruth:
    """Truths one after another."""
    names = FrameTruth.__dataclass_fields__
    return FrameTruth(
        **{name: np.concatenate([getattr(t, name) for t in truths], axis=-1) for name in names}
    )


def _end(rng: np.random.Generator, library: ClipLibrary, piece: Piece, config: JoinConfig) -> int:
    """The bar line at which a piece ends, or the end of the window."""
    wanted = int(rng.integers(config.shortest_frames, config.longest_frames + 1))
    window_end = piece.start + piece.frames
    bars = library.bar_starts(piece.index)
    last = window_end - config.shortest_frames
    bars = bars[(bars >= piece.start + wanted) & (bars <= last)]
    return int(bars[0]) if len(bars) else window_end


def _following(
    rng: np.random.Generator, library: ClipLibrary, index: int, end: int, frames: int
) -> Piece | None:
    """So many frames of another clip from a bar on; None if none of the candidates has them."""
    bpm = _bpm(library, index, end)
    best, nearest = None, math.inf
    for other in rng.integers(len(library.clips), size=_CANDIDATES):
        starts = _fitting_bars(library, int(other), frames)
        if int(other) == index or not len(starts):
            continue
        start = int(rng.choice(starts))
        octaves = abs(math.log2(_bpm(library, int(other), start) / bpm))
        if octaves < nearest:
            best, nearest = Piece(int(other), start, frames), octaves
    return best


def _fitting_bars(library: ClipLibrary, index: int, frames: int) -> npt.NDArray[np.int64]:
    bars = library.bar_starts(index)
    return bars[bars <= library.clips[index].frames - frames]


def _bpm(library: ClipLibrary, index: int, frame: int) -> float:
    """The tempo at a bar start, which is known there."""
    bpm = float(library.window(index, frame, 1)[1].bpm[0])
    assert bpm > NO_TEMPO
    return bpm
