"""The style: rock."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style
from musicgen_rt.train.music.styles.shared_patterns import (
    WALTZ_ROCK_BACKS,
)

ROCK = Style(
    name="rock",
    bpm=(82, 166),
    waltz_share=0.2,
    swing=(0.55, 0.66),
    swing_share=0.12,
    swing_unit_beats=1.0,
    modes={"major": 4, "minor": 4, "mixolydian": 4, "dorian": 2},
    chord_shapes={"power": 6, "triad": 5, "sus4": 1},
    chord_bars={0.5: 2, 1: 5, 2: 2},
    drums=DrumHabits(
        kicks=("X.......X.......", "X.....x.X.......", "X.x.....X.x.....", "X......xX.x....."),
        backbeats=("....X.......X...", "....X.......X..o", "....X..o.o..X...", "....X.......X..."),
        hats=("x.x.x.x.x.x.x.x.", "X.x.X.x.X.x.X.x.", "X...X...X...X...", "x.x.x.x.x.x.x.O."),
        percussion=("................", "....x.......x...", "x.x.x.x.x.x.x.x."),
        waltz_kicks=("X...........", "X.....x.....", "X.x.......x."),
        waltz_backbeats=WALTZ_ROCK_BACKS,
        backbeat_drums={"snare": 1},
        kits={"acoustic": 7, "gated": 1, "breaks": 1},
        ghost_share=0.35,
        fill_share=0.75,
    ),
    bass_rhythms=(
        "R.R.R.R.R.R.R.R.",
        "R---R---R---R-A-",
        "R-R-R-R-R-F-O-F-",
        "R-----R-R---R-F-",
    ),
    bass_patches={"pick": 6, "finger": 4},
    comps=(
        "X.X.X.X.X.X.X.X.",
        "X---X-X---X-X-X-",
        "X-----X-X-------",
        "X---------------",
        "X--X--X--X--X-X-",
    ),
    key_patches={"distorted_guitar": 7, "guitar": 3, "organ": 3, "piano": 2},
    pad_patches={"strings": 3, "warm": 2, "choir": 2},
    lead_patches={"lead_guitar": 6, "guitar": 2, "organ": 1, "saw": 1},
    lead_density=(0.3, 0.75),
    lead_legato=(0.7, 1.0),
    sidechain_share=0.0,
    drive=(0.3, 1.0),
    reverb_seconds=(0.3, 1.6),
    echo_share=0.25,
    looseness_seconds=0.006,
    moods=("energetic", "aggressive", "gritty", "uplifting", "triumphant", "tense"),
)
