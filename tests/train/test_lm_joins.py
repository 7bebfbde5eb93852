"""Windows joined from pieces: on bars, whole, with each piece's own attributes and no caption."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.lm_config import BatchConfig, DropConfig
from musicgen_rt.train.lm_data import TextReading, WindowSampler
from musicgen_rt.train.lm_joins import JoinConfig, Piece, joined_pieces, read_pieces
from musicgen_rt.train.lm_records import ClipLibrary, write_shard
from musicgen_rt.train.text_encoder import generator_names
from tests.train.lm_tiny import random_clip, random_truth, write_clips

WINDOW = 200
JOINS = JoinConfig(share=1.0, shortest_frames=20, longest_frames=60)


@pytest.fixture
def library(tmp_path: Path) -> ClipLibrary:
    write_clips(tmp_path)
    return ClipLibrary(tmp_path)


def test_pieces_fill_the_window_and_meet_on_bars(library: ClipLibrary) -> None:
    counts = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        first = Piece(seed % 4, int(rng.integers(60)), WINDOW)
        pieces = joined_pieces(rng, library, first, JOINS)
        counts.append(len(pieces))
        assert pieces[0].index == first.index and pieces[0].start == first.start
        assert sum(piece.frames for piece in pieces) == WINDOW
        for left, right in pairwise(pieces):
            assert left.index != right.index
            assert left.frames >= JOINS.shortest_frames
            assert left.start + left.frames in library.bar_starts(left.index)
            assert right.start in library.bar_starts(right.index)
        codes, read = read_pieces(library, pieces)
        assert codes.shape == (4, WINDOW)
        last = pieces[-1]
        assert np.array_equal(
            codes[:, -last.frames :], library.window(last.index, last.start, last.frames)[0]
        )
        assert read[-1][0] == last.index
    assert max(counts) > 1


def test_the_next_piece_is_of_the_nearest_tempo(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = [
        replace(
            random_clip(index),
            codes=rng.integers(0, 16, (4, 500)).astype(np.uint16),
            truth=random_truth(rng, 500, bpm),
        )
        for index, bpm in enumerate((100.0, 160.0, 104.0, 75.0))
    ]
    write_shard(tmp_path / "shard-00000.safetensors", clips)
    library = ClipLibrary(tmp_path)
    drawn = [
        joined_pieces(np.random.default_rng(seed), library, Piece(0, 0, WINDOW), JOINS)
        for seed in range(100)
    ]
    followers = [pieces[1].index for pieces in drawn if len(pieces) > 1]
    # It is among the eight candidates of four clips nine times of ten.
    assert len(followers) > 50 and followers.count(2) > 0.7 * len(followers)


def test_a_joined_window_has_no_caption_and_is_told_all_its_attributes(tmp_path: Path) -> None:
    write_clips(tmp_path)

    def windows(share: float) -> tuple[torch.Tensor, torch.Tensor]:
        sampler = WindowSampler(
            ClipLibrary(tmp_path),
            BatchConfig(
                60, WINDOW, join_share=share, shortest_piece_frames=20, longest_piece_frames=60
            ),
            DropConfig(text=0.0, attribute=1.0, everything=0.0, frames=0.0),
            ("drums", "bass", "lead"),
            TextReading(ByT5Tokenizer(), 160, generator_names()),
            seed=3,
        )
        batch = sampler.windows(0)
        return batch.has_text, (batch.frames.attributes != 2).all(-1).all(-1)

    has_text, is_told = windows(0.0)
    assert has_text.all() and not is_told.any()
    has_text, is_told = windows(1.0)
    assert torch.equal(has_text, ~is_told) and is_told.float().mean() > 0.5


def test_pieces_that_cannot_be_are_refused() -> None:
    with pytest.raises(ParameterError, match="join_share"):
        BatchConfig(join_share=1.5)
    with pytest.raises(ParameterError, match="longest_piece_frames"):
        BatchConfig(shortest_piece_frames=100, longest_piece_frames=50)
