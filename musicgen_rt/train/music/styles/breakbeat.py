"""The style: breakbeat."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style

BREAKBEAT = Style(
    name="breakbeat",
    bpm=(102, 142),
    waltz_share=0.07,
    swing=(0.53, 0.62),
    swing_share=0.6,
    swing_unit_beats=0.5,
    modes={"minor": 4, "dorian": 3, "mixolydian": 3},
    chord_shapes={"seventh": 3, "triad": 3, "power": 2, "ninth": 1},
    chord_bars={1: 3, 2: 4},
    drums=DrumHabits(
        kicks=("X.x.......x.....", "X.....x...X..x..", "X..x......x..x..", "X.x...x...x....."),
        backbeats=("....X..o.o..X..o", "....X.......X...", "....X..o....X.o.", "....X..x.o..X..x"),
        hats=("x.x.x.x.x.x.x.x.", "x.x.x.xOx.x.x.xO", "xoxoxoxoxoxoxoxo", "x.xxx.x.x.xxx.x."),
        percussion=("..x..x..x..x..x.", "x...x.x...x.x...", "....x.....x....."),
        waltz_kicks=("X.x.....x...", "X.....x....."),
        waltz_backbeats=("....X..o.o..", "........X..o"),
        backbeat_drums={"snare": 1},
        kits={"breaks": 6, "acoustic": 2, "electronic": 1},
        ghost_share=0.7,
        fill_share=0.6,
    ),
    bass_rhythms=(
        "R-.R..R-..O-..F-",
        "R..R..R...R-T-F-",
        "R-....R-R-....O.",
        "R.R...O...R..F..",
    ),
    bass_patches={"saw": 3, "square": 2, "finger": 3, "sine": 2, "reese": 1},
    comps=("X..X..X-....X...", "X-....X-..X-....", "..X...X...X..X..", "X---............"),
    key_patches={"stab": 3, "organ": 3, "electric_piano": 3, "clav": 2, "brass": 2},
    pad_patches={"strings": 3, "warm": 2, "dark": 2, "choir": 1},
    lead_patches={"square": 3, "saw": 2, "pulse": 2, "bell": 1, "flute": 1, "brass": 1},
    lead_density=(0.35, 0.75),
    lead_legato=(0.5, 0.9),
    sidechain_share=0.2,
    drive=(0.2, 0.9),
    reverb_seconds=(0.3, 1.4),
    echo_share=0.4,
    looseness_seconds=0.004,
    moods=("energetic", "gritty", "groovy", "playful", "tense", "driving"),
)
