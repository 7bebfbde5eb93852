"""Frames that are remembered in front of every later window, for music that comes home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from musicgen_rt.contract.timeline import ClockPoint
from musicgen_rt.errors import ParameterError
from musicgen_rt.model.frame_conditioning import FrameConditions


@dataclass(frozen=True, eq=False)
class Memory:
    """Codes [K, M] of the frames from `first_frame` on, and what each was made under."""

    first_frame: int
    codes: np.ndarray
    conditions: tuple[FrameConditions, ...]

    @property
    def frames(self) -> range:
        """The absolute frames."""
        return range(self.first_frame, self.first_frame + self.codes.shape[1])

    @property
    def size(self) -> int:
        """How many frames it holds."""
        return self.codes.shape[1]

    def to_json(self) -> dict[str, Any]:
        """The memory as a value for `json.dumps`."""
        return {
            "first_frame": self.first_frame,
            "codes": self.codes.tolist(),
            "conditions": [asdict(condition) for condition in self.conditions],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Memory:
        """The inverse of `to_json`. Raises ParameterError for a value that it did not make."""
        try:
            codes = np.array(value["codes"], dtype=np.int64)
            conditions = tuple(_conditions(entry) for entry in value["conditions"])
            if codes.ndim != 2 or codes.shape[1] != len(conditions):
                raise ValueError(f"codes {codes.shape} and {len(conditions)} conditions")
            return cls(int(value["first_frame"]), codes, conditions)
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(
                f"not a memory ({error}): expected the value that Memory.to_json makes"
            ) from error


def _conditions(value: Mapping[str, Any]) -> FrameConditions:
    clock = None if value["clock"] is None else ClockPoint(**value["clock"])
    attributes = tuple((str(name), bool(is_on)) for name, is_on in value["attributes"])
    return FrameConditions(clock, value["pitch_class"], attributes)
