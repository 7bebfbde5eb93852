"""The style: house."""

from __future__ import annotations

from musicgen_rt.train.music.style import DrumHabits, Style
from musicgen_rt.train.music.styles.shared_patterns import (
    FOUR_FLOOR,
)

HOUSE = Style(
    name="house",
    bpm=(116, 130),
    waltz_share=0.06,
    swing=(0.52, 0.60),
    swing_share=0.5,
    swing_unit_beats=0.5,
    modes={"minor": 4, "dorian": 3, "major": 2, "mixolydian": 1},
    chord_shapes={"seventh": 4, "ninth": 3, "triad": 3},
    chord_bars={0.5: 1, 1: 4, 2: 3},
    drums=DrumHabits(
        kicks=FOUR_FLOOR,
        backbeats=("....X.......X...", "....X.......X..o", "....X..o....X...", "....X.......X.?."),
        hats=("..O...O...O...O.", "x.O.x.O.x.O.x.O.", "xoOoxoOoxoOoxoOo", "..x...x...x...xx"),
        percussion=("..x..x....x..x..", "x..x..x...x.x...", "...x...x..x....x", ".x.xx.x..x.xx.x."),
        waltz_kicks=("X...X...X...",),
        waltz_backbeats=("....X...X...", "........X..."),
        backbeat_drums={"clap": 5, "snare": 2, "rim": 1},
        kits={"electronic": 5, "nine": 4},
        ghost_share=0.2,
        fill_share=0.5,
    ),
    bass_rhythms=(
        "..R-..R-..R-..R-",
        "R--R--R-..O-R--.",
        "..RR..RO..RR..OR",
        "R-..R-.O..R-F-..",
        "R--R..R...O-..F-",
    ),
    bass_patches={"saw": 3, "square": 3, "fm": 2, "sine": 2, "organ": 2},
    comps=(
        "..X-..X-..X-..X-",
        "X-..X-..X.X-..X.",
        "X--X--X---X--X--",
        "..XX..X-..XX..X-",
        "X.....X-..X.....",
    ),
    key_patches={"stab": 4, "electric_piano": 3, "organ": 3, "piano": 3},
    pad_patches={"strings": 3, "warm": 3, "choir": 1, "saws": 2},
    lead_patches={"saw": 2, "square": 2, "pluck": 2, "piano": 1, "flute": 1, "bell": 1, "voice": 1},
    lead_density=(0.35, 0.75),
    lead_legato=(0.5, 0.95),
    sidechain_share=0.7,
    drive=(0.0, 0.5),
    reverb_seconds=(0.5, 2.0),
    echo_share=0.4,
    looseness_seconds=0.003,
    moods=("uplifting", "groovy", "warm", "happy", "hypnotic", "driving"),
)
