"""A melody and the frame at which it starts: what the score holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.melody import Melody, NoteMelody
from musicgen_rt.model.chroma import ChromaParameters

# Classes are asked for frame by frame but cost less by the block.
_BLOCK_FRAMES = 256
_MAX_BLOCKS = 16


@dataclass(frozen=True)
class PlacedMelody:
    """A melody whose own beginning falls on the stream's frame `start_frame`."""

    melody: Melody
    start_frame: int
    frame_rate_hz: float
    _blocks: dict[int, list[int]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> int:
        """How many notes it holds; what was heard in audio is the same value in each change."""
        return len(self.melody.notes) if isinstance(self.melody, NoteMelody) else 0

    def chroma_window(self, frame: int, num_rows: int, parameters: ChromaParameters) -> Tensor:
        """The chroma prefix of a window that begins at the stream's `frame`: [num_rows, 12]."""
        return self.melody.chroma_window(
            frame - self.start_frame,
            num_rows,
            frame_rate_hz=self.frame_rate_hz,
            parameters=parameters,
        )

    def pitch_class_at(self, frame: int) -> int | None:
        """0-11, 12 for a rest; None (free) before and after a melody that is played once."""
        own_frame = frame - self.start_frame
        if self.melody.loop_seconds is None:
            seconds = (own_frame + 0.5) / self.frame_rate_hz
            if not 0 <= seconds < self.melody.length_seconds:
                return None
        block, offset = divmod(own_frame, _BLOCK_FRAMES)
        if block not in self._blocks:
            if len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[block] = self.melody.frame_classes(
                block * _BLOCK_FRAMES, _BLOCK_FRAMES, frame_rate_hz=self.frame_rate_hz
            ).tolist()
        return self._blocks[block][offset]

    def moved(self, frames: int) -> PlacedMelody:
        """The same melody, beginning so many frames later."""
        return replace(self, start_frame=self.start_frame + frames, _blocks={})

    def to_json(self) -> dict[str, Any]:
        """The melody and its place as a value for `json.dumps`."""
        return {
            "melody": self.melody.to_json(),
            "start_frame": self.start_frame,
            "frame_rate_hz": self.frame_rate_hz,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PlacedMelody:
        """The inverse of `to_json`. Raises ParameterError for a value that it did not make."""
        try:
            melody, start = Melody.from_json(value["melody"]), int(value["start_frame"])
            return cls(melody, start, float(value["frame_rate_hz"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(
                f"not a placed melody ({error}): expected the value that its to_json makes"
            ) from error
