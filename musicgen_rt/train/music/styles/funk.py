"""The style: funk."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style

FUNK = Style(
    name="funk",
    bpm=(88, 122),
    waltz_share=0.06,
    swing=(0.52, 0.60),
    swing_share=0.6,
    swing_unit_beats=0.5,
    modes={"dorian": 5, "mixolydian": 5, "minor": 2},
    chord_shapes={"seventh": 5, "ninth": 5, "triad": 1},
    chord_bars={1: 3, 2: 4, 4: 2},
    drums=DrumHabits(
        kicks=("X.x...x...x..x..", "X..x..x...x.....", "X.x.......xx....", "X.....x..xx..x.."),
        backbeats=("....X..o.o..X..o", "....X..o.o.oX...", "....X.oo....X.o.", "....X..x.o..X..."),
        hats=("xoxoxoxoxoxoxoxo", "x.x.x.x.x.x.x.xO", "xoxoxoxOxoxoxoxO", "xxxxxxxxxxxxxxxx"),
        percussion=("..x..x..x..x..x.", "x.xx..x.x.xx..x.", "x...x...x...x..."),
        waltz_kicks=("X.x....x.x..",),
        waltz_backbeats=("....X..o.o..", "........X..o"),
        backbeat_drums={"snare": 1},
        kits={"acoustic": 5, "breaks": 4},
        ghost_share=0.8,
        fill_share=0.6,
    ),
    bass_rhythms=(
        "R..OR.R...RF..A.",
        "R-.R.OR..F.R..O.",
        "R.r.R.O...r.R.T.",
        "R--.r.RO..R.F.OA",
        "R-..O.R.R.rOF-A.",
    ),
    bass_patches={"slap": 5, "finger": 5, "square": 1},
    comps=(
        "..X.x.X...X.x.X.",
        "xxX.xxX.xxX.xxXx",
        "...X..X....X..X.",
        "X..x..X..x..X.x.",
        "..X-......X-..x.",
    ),
    key_patches={"clav": 5, "guitar": 4, "organ": 3, "electric_piano": 3, "brass": 3},
    pad_patches={"strings": 4, "warm": 2, "choir": 1},
    lead_patches={"brass": 3, "square": 2, "flute": 2, "guitar": 2, "saw": 1, "organ": 1},
    lead_density=(0.4, 0.8),
    lead_legato=(0.4, 0.85),
    sidechain_share=0.0,
    drive=(0.1, 0.6),
    reverb_seconds=(0.2, 1.0),
    echo_share=0.15,
    looseness_seconds=0.004,
    moods=("funky", "groovy", "playful", "happy", "energetic", "bright"),
)
