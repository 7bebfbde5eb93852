"""The table of styles, by name."""

from __future__ import annotations

from musicgen_rt.train.music.style import Style
from musicgen_rt.train.music.styles.ambient import AMBIENT
from musicgen_rt.train.music.styles.breakbeat import BREAKBEAT
from musicgen_rt.train.music.styles.drum_and_bass import DRUM_AND_BASS
from musicgen_rt.train.music.styles.funk import FUNK
from musicgen_rt.train.music.styles.house import HOUSE
from musicgen_rt.train.music.styles.lo_fi import LO_FI
from musicgen_rt.train.music.styles.rock import ROCK
from musicgen_rt.train.music.styles.synth_pop import SYNTH_POP
from musicgen_rt.train.music.styles.techno import TECHNO

STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        HOUSE,
        TECHNO,
        DRUM_AND_BASS,
        BREAKBEAT,
        LO_FI,
        AMBIENT,
        SYNTH_POP,
        ROCK,
        FUNK,
    )
}
