"""Which beat of heard music is its first: by how strongly each begins in the lowest band.

Kick and bass mark a bar's first beat in most music with drums (M. Goto, "An audio-based real-time
beat tracking system", JNMR 2001, uses the same cue). They may mark others as strongly: then the bar
is left where it is. Only if what is heard on the session's first beat is weak, bar after bar, and
another beat is not, the music is a whole number of beats off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

# So many bars must agree, and no more are looked at.
FEWEST_BARS, MOST_BARS = 4, 8
# A first beat is in its place if it has so much of the strongest one's strength.
_STRONG = 0.6
_STRONGEST = 0.85
# In dB a hop: weaker beginnings are none.
_WEAKEST_DB = 0.5


@dataclass(frozen=True)
class HeardBeat:
    """A beat of the music: its place in the session's bar, how strongly it begins in the bass."""

    place: int
    low_db: float


def beats_to_skip(beats: Iterable[HeardBeat], beats_per_bar: int) -> int:
    """How many beats the music must be ahead for its first one to be the session's; 0 if unsure."""
    heard: dict[int, list[float]] = {place: [] for place in range(beats_per_bar)}
    for beat in beats:
        heard[beat.place % beats_per_bar].append(beat.low_db)
    if min(map(len, heard.values())) < FEWEST_BARS:
        return 0
    strengths = [median(heard[place]) for place in range(beats_per_bar)]
    strongest = max(strengths)
    if strongest < _WEAKEST_DB or strengths[0] >= _STRONG * strongest:
        return 0
    return next(n for n, one in enumerate(strengths) if one >= _STRONGEST * strongest)
