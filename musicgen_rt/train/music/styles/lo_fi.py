"""The style: lo-fi hip hop."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style
from musicgen_rt.train.music.styles.shared_patterns import (
    WALTZ_BACKS,
    WALTZ_KICKS,
)

LO_FI = Style(
    name="lo-fi hip hop",
    bpm=(64, 94),
    waltz_share=0.15,
    swing=(0.55, 0.66),
    swing_share=0.85,
    swing_unit_beats=0.5,
    modes={"minor": 4, "dorian": 3, "major": 4, "mixolydian": 1},
    chord_shapes={"seventh": 5, "ninth": 5, "triad": 1},
    chord_bars={0.5: 2, 1: 5, 2: 1},
    drums=DrumHabits(
        kicks=("X......x..x.....", "X.....x...x.....", "X..x......x..?..", "X.......x.x....."),
        backbeats=("....X.......X...", "....X.......X..o", "....X..o....X...", "....X.o.....X.o."),
        hats=("x.x.x.x.x.x.x.x.", "x.xox.x.x.xox.xo", "x.x.x.xOx.x.x.x.", "..x...x...x...x."),
        percussion=("......x.......x.", "...x......x.....", "x.......x......."),
        waltz_kicks=WALTZ_KICKS,
        waltz_backbeats=WALTZ_BACKS,
        backbeat_drums={"snare": 4, "rim": 3, "clap": 1},
        kits={"dusty": 6, "acoustic": 2, "electronic": 1},
        ghost_share=0.4,
        fill_share=0.25,
    ),
    bass_rhythms=(
        "R-----..R-..R-..",
        "R---....R---F-..",
        "R--R....R-O-..F-",
        "R-------R-------",
        "R-....R-R---..A-",
    ),
    bass_patches={"sine": 4, "finger": 4, "organ": 1},
    comps=(
        "X-------........",
        "X---..X---....X-",
        "X-----X---------",
        "X-..X-....X-..X-",
        "1-2-3-4-3-2-3-4-",
    ),
    key_patches={"electric_piano": 6, "piano": 4, "guitar": 3, "vibes": 2},
    pad_patches={"warm": 4, "choir": 2, "strings": 2, "glass": 1},
    lead_patches={
        "flute": 2,
        "vibes": 2,
        "guitar": 3,
        "piano": 2,
        "sine": 2,
        "electric_piano": 2,
        "voice": 1,
    },
    lead_density=(0.2, 0.5),
    lead_legato=(0.6, 1.0),
    sidechain_share=0.25,
    drive=(0.1, 0.6),
    reverb_seconds=(0.4, 1.8),
    echo_share=0.35,
    looseness_seconds=0.009,
    moods=("relaxed", "nostalgic", "mellow", "melancholic", "dreamy", "warm"),
)
