"""The style: techno."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style
from musicgen_rt.train.music.styles.shared_patterns import (
    FOUR_FLOOR,
)

TECHNO = Style(
    name="techno",
    bpm=(122, 150),
    waltz_share=0.05,
    swing=(0.51, 0.56),
    swing_share=0.2,
    swing_unit_beats=0.5,
    modes={"minor": 4, "phrygian": 4, "dorian": 1},
    chord_shapes={"triad": 3, "power": 3, "seventh": 1, "sus4": 2},
    chord_bars={1: 1, 2: 3, 4: 4},
    drums=DrumHabits(
        kicks=(*FOUR_FLOOR, "X...X...X...X.xx"),
        backbeats=("................", "....X.......X...", "............X...", "....x..x....x..x"),
        hats=("..O...O...O...O.", "xxxxxxxxxxxxxxxx", "..xx..xx..xx..xx", "oxXxoxXxoxXxoxXx"),
        percussion=("...x..x....x..x.", "x..x..x..x..x..x", "......x......x..", "..x....x..x....x"),
        waltz_kicks=("X...X...X...",),
        waltz_backbeats=("............", "........X..."),
        backbeat_drums={"clap": 4, "rim": 2, "snare": 1},
        kits={"nine": 4, "hard": 5},
        ghost_share=0.15,
        fill_share=0.35,
    ),
    bass_rhythms=(
        ".RRR.RRR.RRR.RRR",
        "..R...R...R...R.",
        "R.RR.RO.R.RR.ROF",
        ".R.RR.R..R.RR.O.",
        "RRRRRRRRRRRRRROR",
    ),
    bass_patches={"saw": 4, "square": 3, "fm": 3, "sine": 1},
    comps=(
        "X..X..X..X..X...",
        "...X......X.....",
        "X.....X.........",
        "1.2.3.1.2.3.1.2.",
        "1232123212321232",
        "..X.........X...",
    ),
    key_patches={"stab": 5, "fm_keys": 3, "pluck": 2, "organ": 1},
    pad_patches={"dark": 4, "warm": 2, "glass": 2, "choir": 1},
    lead_patches={"saw": 3, "square": 3, "pulse": 2, "bell": 1, "pluck": 1},
    lead_density=(0.4, 0.9),
    lead_legato=(0.35, 0.8),
    sidechain_share=0.6,
    drive=(0.2, 0.9),
    reverb_seconds=(0.6, 3.0),
    echo_share=0.6,
    looseness_seconds=0.001,
    moods=("dark", "hypnotic", "driving", "aggressive", "mysterious", "cold"),
)
