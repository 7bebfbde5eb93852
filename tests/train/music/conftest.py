"""Clips by what they contain: seeds are found by their plans, which cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import pytest

from musicgen_rt.train.music import Clip, generate_clip
from musicgen_rt.train.music.plan import SongPlan, plan_song

SEARCHED_SEEDS = 5000
SeedFinder = Callable[[Callable[[SongPlan], bool], float, int], list[int]]


def _matching(wanted: Callable[[SongPlan], bool], seconds: float) -> Iterator[int]:
    for seed in islice(count(), SEARCHED_SEEDS):
        if wanted(plan_song(seed, seconds)):
            yield seed


@pytest.fixture(scope="session")
def find_seeds() -> SeedFinder:
    """`find_seeds(wanted, seconds, n)`: the first n seeds whose plans satisfy `wanted`."""

    def find(wanted: Callable[[SongPlan], bool], seconds: float, number: int) -> list[int]:
        seeds = list(islice(_matching(wanted, seconds), number))
        assert len(seeds) == number, f"only {len(seeds)} of {number} seeds match"
        return seeds

    return find


@pytest.fixture(scope="session")
def short_clips() -> list[Clip]:
    """60 clips of 3 s, of consecutive seeds: a sample of what training sees."""
    return [generate_clip(seed, 3.0) for seed in range(60)]
