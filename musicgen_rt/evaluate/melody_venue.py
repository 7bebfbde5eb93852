"""Where the measure of melodies plays: on the worker's stage, or through a whole daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.timeline import Timeline

PROMPT = "lead melody with a soft pad"
LEAD = "lead"


class Stage(Protocol):
    """Plays one phrase's music. Frames are counted from its beginning, which is a bar line."""

    @property
    def timeline(self) -> Timeline:
        """Beats and bars of its frames."""

    @property
    def rate_hz(self) -> int:
        """Of `heard`: that of the model."""

    def send(self, name: str, *args: Any) -> int:
        """A command, now; the frame from which it is heard. Raises MusicgenRTError."""

    def until(self, frame: int) -> None:
        """Play until a frame is heard."""

    def heard(self) -> NDArray[np.float32]:
        """Mono samples [N] of all that was heard since frame 0."""


class Venue(Protocol):
    """Gives a stage for each phrase."""

    @property
    def source(self) -> str:
        """What the model was named by."""

    @property
    def through(self) -> str:
        """What is played, as the report says it."""

    def stage(self, bpm: float, seed: int) -> Stage:
        """A stage at a tempo, where `PROMPT` begins with the lead on if there is one to ask for."""

    def faults(self) -> Mapping[str, int]:
        """How often what has gone wrong so far, by its name; empty where nothing can."""
