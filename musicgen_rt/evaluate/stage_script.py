"""What the scripted performer does: a round of everything that a musician does on a stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# One round at its own pace.
ROUND_SECONDS = 60.0


@dataclass(frozen=True)
class Cue:
    """One command, so many seconds after the start of its round."""

    seconds: float
    name: str
    args: tuple[Any, ...] = ()


ROUND = (
    Cue(2, "prompt/set", (1, "dub techno, deep chords", 0.0)),
    Cue(3, "prompt/weight", (1, 1.0, 8.0)),
    Cue(7, "attr/set", ("drums", "off", "bar")),
    Cue(11, "attr/set", ("drums", "on", "bar")),
    Cue(13, "melody/mode", ("follow",)),
    *(
        cue
        for number, pitch in enumerate((60, 63, 67, 70, 67, 63))
        for cue in (
            Cue(14 + number, "melody/note_on", (pitch, 100)),
            Cue(14.8 + number, "melody/note_off", (pitch,)),
        )
    ),
    Cue(21, "melody/mode", ("off",)),
    Cue(22, "gen/undo", (2,)),
    Cue(27, "bank/save", (1,)),
    Cue(28, "gen/freeze", (1, 1)),
    Cue(33, "gen/freeze", (0,)),
    Cue(36, "param/set/temperature", (0.9,)),
    Cue(37, "clock/tempo", (126.0,)),
    Cue(41, "bank/load", (1,)),
    Cue(45, "transport/stop"),
    Cue(48, "transport/play"),
    Cue(51, "clock/tempo", (120.0,)),
    Cue(53, "gen/retry", (1,)),
    Cue(56, "attr/set", ("drums", "free")),
    Cue(57, "prompt/weight", (1, 0.0, 4.0)),
)


def cues(seconds: float) -> Iterator[Cue]:
    """The cues of a performance; one shorter than a round is the same round, played faster."""
    pace = min(1.0, seconds / ROUND_SECONDS)
    rounds = max(1, round(seconds / ROUND_SECONDS))
    for number in range(rounds):
        for cue in ROUND:
            yield Cue((number * ROUND_SECONDS + cue.seconds) * pace, cue.name, cue.args)
