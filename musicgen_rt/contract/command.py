"""A command: what control asks of the engine or of the playout, and when it is to be heard.

Controls make commands and never call the engine. A command names an entry of the protocol's table
("prompt/set"), holds arguments that were checked at the edge, and carries the session frame from
which it must be heard; None means as soon as what is committed to the device allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_rt.errors import ParameterError

Argument = str | int | float | bool | None

MAX_NAME_CHARS = 64
MAX_ARGUMENTS = 64


@dataclass(frozen=True)
class Command:
    """One request.

    `id` is unique within a daemon's life and comes back in the answer. `frame` counts session
    frames: codec frames of what is heard, from the daemon's start on, never reused. `sample` is the
    same moment to the session's sample, where that matters: a line between two frames. `beat` is
    the session's beat that is waited for, if it is a line: it stays where the tempo changes.
    """

    id: int
    name: str
    args: tuple[Argument, ...] = ()
    frame: int | None = None
    sample: int | None = None
    beat: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The command as a message for a `Pipe`."""
        return {
            "type": "command",
            "id": self.id,
            "name": self.name,
            "args": list(self.args),
            "frame": self.frame,
            "sample": self.sample,
            "beat": self.beat,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Command:
        """The inverse of `to_json`. Raises ParameterError for anything else."""
        try:
            identity, name, args, frame = (value[key] for key in ("id", "name", "args", "frame"))
        except KeyError as error:
            raise ParameterError(
                f"a command without {error}: expected what to_json makes"
            ) from error
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARS:
            raise ParameterError(f"a command named {name!r}: expected a short name")
        if not isinstance(args, list) or len(args) > MAX_ARGUMENTS:
            raise ParameterError(f"{name}: expected a list of at most {MAX_ARGUMENTS} arguments")
        if not all(isinstance(arg, Argument) for arg in args):
            raise ParameterError(f"{name}: expected texts and numbers as arguments, got {args!r}")
        places = (frame, sample := value.get("sample"))
        if not _is_whole(identity) or not all(one is None or _is_whole(one) for one in places):
            raise ParameterError(f"{name}: expected whole numbers for id, frame and sample")
        beat = value.get("beat")
        if beat is not None and not _is_number(beat):
            raise ParameterError(f"{name}: expected a number as its beat, got {beat!r}")
        return cls(identity, name, tuple(args), frame, sample, beat)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
