"""The style: synth-pop."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style
from musicgen_rt.train.music.styles.shared_patterns import (
    WALTZ_KICKS,
    WALTZ_ROCK_BACKS,
)

SYNTH_POP = Style(
    name="synth-pop",
    bpm=(92, 138),
    waltz_share=0.1,
    swing=(0.5, 0.55),
    swing_share=0.1,
    swing_unit_beats=0.5,
    modes={"major": 5, "minor": 4, "mixolydian": 1, "dorian": 1},
    chord_shapes={"triad": 6, "sus2": 1, "seventh": 2, "sus4": 1},
    chord_bars={0.5: 1, 1: 5, 2: 3},
    drums=DrumHabits(
        kicks=("X.......X.......", "X...X...X...X...", "X.....x.X.......", "X..x..x.X.....x."),
        backbeats=("....X.......X...", "....X.......X...", "....X.......X.xx"),
        hats=("x.x.x.x.x.x.x.x.", "xoxoxoxoxoxoxoxo", "..O...O...O...O.", "xxxxxxxxxxxxxxxx"),
        percussion=("..x..x..x..x..x.", "x.x.x.x.x.x.x.x.", "......x.......x."),
        waltz_kicks=WALTZ_KICKS,
        waltz_backbeats=WALTZ_ROCK_BACKS,
        backbeat_drums={"snare": 5, "clap": 3},
        kits={"nine": 3, "electronic": 4, "gated": 5},
        ghost_share=0.15,
        fill_share=0.6,
    ),
    bass_rhythms=(
        "R.R.R.R.R.R.R.R.",
        "R.ORR.ORR.ORR.OR",
        "RRRRRRRRRRRRRRRR",
        "R-R-O-R-R-R-O-F-",
        "R-.RR-.RR-.RR-O-",
    ),
    bass_patches={"saw": 5, "square": 4, "fm": 3},
    comps=(
        "1.2.3.2.1.2.3.2.",
        "1234123412341234",
        "X-..X-..X-..X-..",
        "X--X--X-X--X--X-",
        "X---------------",
        "1.3.2.3.4.3.2.3.",
    ),
    key_patches={"stab": 3, "fm_keys": 4, "pluck": 4, "bell": 2, "brass": 2},
    pad_patches={"saws": 4, "strings": 4, "warm": 3, "choir": 2},
    lead_patches={
        "saw": 4,
        "square": 3,
        "pulse": 3,
        "triangle": 1,
        "brass": 2,
        "bell": 1,
        "voice": 1,
    },
    lead_density=(0.35, 0.7),
    lead_legato=(0.6, 1.0),
    sidechain_share=0.35,
    drive=(0.0, 0.5),
    reverb_seconds=(0.6, 2.4),
    echo_share=0.5,
    looseness_seconds=0.002,
    moods=("nostalgic", "bright", "uplifting", "dreamy", "happy", "romantic"),
)
