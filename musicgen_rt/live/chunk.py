"""What an engine gives out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Chunk:
    """Some samples of the stream and where they belong.

    `samples` is float32 [C, N]; its first one has the absolute position `first_sample`.
    `end_frame` is the number of frames decoded so far. `beat` is the beat at the first sample, None
    while no tempo is known. After a rollback chunks replace what was given out from their position.
    """

    samples: np.ndarray
    first_sample: int
    end_frame: int
    beat: float | None
