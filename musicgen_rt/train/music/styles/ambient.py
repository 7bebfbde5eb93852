"""The style: ambient."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style
from musicgen_rt.train.music.styles.shared_patterns import (
    WALTZ_KICKS,
)

AMBIENT = Style(
    name="ambient",
    bpm=(60, 100),
    waltz_share=0.25,
    swing=(0.5, 0.55),
    swing_share=0.1,
    swing_unit_beats=1.0,
    modes={"major": 4, "minor": 3, "dorian": 2, "mixolydian": 2, "phrygian": 1},
    chord_shapes={"ninth": 4, "seventh": 4, "sus2": 3, "triad": 2, "sus4": 1},
    chord_bars={1: 1, 2: 4, 4: 3},
    drums=DrumHabits(
        kicks=("X...............", "X.........x.....", "X.......x.......", "X..........x...."),
        backbeats=("............X...", "........x.......", "....x.......x...", "................"),
        hats=("..x...x...x...x.", "x...x...x...x...", "....x..x....x..x", "o.x.o.x.o.x.o.x."),
        percussion=("......x.........", "...x......x.....", "..x....x....x..."),
        waltz_kicks=WALTZ_KICKS,
        waltz_backbeats=("........x...", "............", "....o...x..."),
        backbeat_drums={"rim": 3, "snare": 2, "clap": 1},
        kits={"dusty": 3, "electronic": 3, "nine": 1},
        ghost_share=0.3,
        fill_share=0.1,
    ),
    bass_rhythms=("R---------------", "R-------........", "R-------F-------", "....R-----------"),
    bass_patches={"sine": 5, "fm": 2, "saw": 1},
    comps=(
        "1---2---3---4---",
        "1-..2-..4-..3-..",
        "X---------------",
        "..1-..3-..2-..4-",
        "1.2.3.4.5.4.3.2.",
    ),
    key_patches={"bell": 4, "electric_piano": 3, "piano": 3, "vibes": 2, "guitar": 1},
    pad_patches={"warm": 4, "glass": 4, "choir": 3, "strings": 2, "dark": 2},
    lead_patches={
        "sine": 3,
        "flute": 3,
        "bell": 3,
        "vibes": 1,
        "triangle": 2,
        "piano": 1,
        "voice": 2,
    },
    lead_density=(0.08, 0.35),
    lead_legato=(0.8, 1.0),
    sidechain_share=0.05,
    drive=(0.0, 0.2),
    reverb_seconds=(1.8, 4.5),
    echo_share=0.6,
    looseness_seconds=0.012,
    moods=("calm", "dreamy", "ethereal", "peaceful", "mysterious", "melancholic"),
)
