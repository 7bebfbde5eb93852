"""A command on its way: checked, and carried out at its frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Carries a command out at a session frame; what it returns goes into the answer, "frame" among it
# where it is heard from another one on.
Run = Callable[[int], Mapping[str, Any] | None]


@dataclass(eq=False)
class Action:
    """What is left of a command after it was checked.

    A *change* alters the score; a *jump* makes the music go on elsewhere. `frame` None is as soon
    as possible. Nobody waits for one without an `identity`.
    """

    name: str
    run: Run
    identity: int | None
    frame: int | None = None
    # Where it is to be heard to the sample, from `frame` on: music that is made under it may not be
    # heard before, and what was made before it is.
    sample: int | None = None
    # The session's beat that it waits for, if that is a line: both of the above follow from it.
    beat: float | None = None
    # Of a note that is struck or let go of.
    pitch: int | None = None
    # Whether the old music up to that sample is made first; open until `frame` is reached.
    is_waiting: bool | None = field(default=None, init=False)
    is_jump: bool = False
    # Whether it came too late for its bar line once: the next one is kept.
    is_put_off: bool = field(default=False, init=False)
    # A jump that waits for no bar line, nor for its turn.
    is_urgent: bool = False
    # Whether it would not be heard, so that nothing needs to be made again for it.
    is_unheard: Callable[[], bool] = lambda: False
    is_answered: bool = field(default=False)
