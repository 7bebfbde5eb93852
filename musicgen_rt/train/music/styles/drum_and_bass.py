"""The style: drum and bass."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style

DRUM_AND_BASS = Style(
    name="drum and bass",
    bpm=(160, 180),
    waltz_share=0.05,
    swing=(0.51, 0.56),
    swing_share=0.3,
    swing_unit_beats=0.5,
    modes={"minor": 5, "dorian": 2, "phrygian": 2, "major": 1},
    chord_shapes={"seventh": 3, "triad": 3, "ninth": 2, "sus2": 1},
    chord_bars={1: 1, 2: 4, 4: 2},
    drums=DrumHabits(
        kicks=("X.........X.....", "X.....?...X.....", "X.x.......X.....", "X.........X..x.."),
        backbeats=("....X.......X...", "....X..o.o..X..o", "....X..o.o..X...", "....X....o..X.o."),
        hats=("x.x.x.x.x.x.x.x.", "xxxxxxxxxxxxxxxx", "x.xox.xox.xox.xo", "x.O.x.O.x.O.x.O."),
        percussion=("...x.....x....x.", "..x....x..x....x", "x.....x.....x..."),
        waltz_kicks=("X.....x.....", "X.x.........", "X.........x."),
        waltz_backbeats=("........X...", "....X...X...", "....X..o.o.."),
        backbeat_drums={"snare": 1},
        kits={"breaks": 5, "hard": 2, "electronic": 2},
        ghost_share=0.5,
        fill_share=0.6,
    ),
    bass_rhythms=(
        "R-----------..R-",
        "R---..R---..O-..",
        "R--R--....R-F-..",
        "R-..R-RO..R-..T-",
        "R---------------",
    ),
    bass_patches={"reese": 5, "sine": 3, "saw": 2, "fm": 2},
    comps=("X-------........", "X-....X-........", "X---------------", "1.2.3.4.3.2.1.2."),
    key_patches={"electric_piano": 3, "piano": 2, "stab": 2, "fm_keys": 2, "bell": 1},
    pad_patches={"warm": 3, "strings": 2, "dark": 2, "choir": 2, "glass": 1},
    lead_patches={"saw": 3, "sine": 2, "bell": 2, "flute": 1, "pulse": 1, "piano": 1, "voice": 1},
    lead_density=(0.2, 0.55),
    lead_legato=(0.6, 1.0),
    sidechain_share=0.35,
    drive=(0.1, 0.7),
    reverb_seconds=(0.5, 2.5),
    echo_share=0.5,
    looseness_seconds=0.002,
    moods=("energetic", "dark", "driving", "aggressive", "dreamy", "tense"),
)
