"""Frames that a stream will play as they are, from some frame on: what follows an infill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen_rt.errors import ParameterError


@dataclass(frozen=True, eq=False)
class FixedFrames:
    """Codes [K, N] of the frames from `first_frame` on."""

    first_frame: int
    codes: np.ndarray

    @property
    def end_frame(self) -> int:
        return self.first_frame + self.codes.shape[1]

    def put_into(self, codes: np.ndarray, first_frame: int) -> None:
        """Write those that lie among the columns of codes [K, T], which begin at `first_frame`."""
        begin = max(self.first_frame, first_frame)
        end = min(self.end_frame, first_frame + codes.shape[1])
        if begin < end:
            mine = self.codes[:, begin - self.first_frame : end - self.first_frame]
            codes[:, begin - first_frame : end - first_frame] = mine

    def to_json(self) -> dict[str, Any]:
        """The frames as a value for `json.dumps`."""
        return {"first_frame": self.first_frame, "codes": self.codes.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FixedFrames:
        """The inverse of `to_json`. Raises ParameterError for a value that it did not make."""
        try:
            codes = np.array(value["codes"], dtype=np.int64)
            if codes.ndim != 2:
                raise ValueError(f"codes of the shape {codes.shape}")
            return cls(int(value["first_frame"]), codes)
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(
                f"not fixed frames ({error}): expected the value that FixedFrames.to_json makes"
            ) from error
