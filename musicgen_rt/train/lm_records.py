"""Clips as the language model learns them: codes, what is true of each frame, and captions.

A shard is a safetensors file of some clips; its arrays are read a window at a time, from a memory
map, so that a data set may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.train.whole_file import whole_file

ROLES = ("drums", "bass", "pad", "keys", "lead")
OFF, ON, ROLE_UNKNOWN = 0, 1, 2
REST = 12
PITCH_UNKNOWN = 13
# A frame of this tempo has no known clock.
NO_TEMPO = 0.0

_METADATA_KEY = "musicgen_rt_clips"
_PATTERN = "shard-*.safetensors"
Codes = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class FrameTruth:
    """What is known of T frames: phases, tempo and metre [T], pitch class [T], roles [R, T].

    `bpm` is `NO_TEMPO` where the clock is unknown, `pitch_class` 0-11, `REST` or `PITCH_UNKNOWN`,
    and a role `OFF`, `ON` or `ROLE_UNKNOWN`, in the order of `ROLES`.
    """

    bar_phase: npt.NDArray[np.float32]
    beat_phase: npt.NDArray[np.float32]
    bpm: npt.NDArray[np.float32]
    beats_per_bar: npt.NDArray[np.uint8]
    pitch_class: npt.NDArray[np.uint8]
    roles: npt.NDArray[np.uint8]

    @classmethod
    def unknown(cls, frames: int) -> FrameTruth:
        """Frames of which nothing is known."""
        return cls(
            bar_phase=np.zeros(frames, np.float32),
            beat_phase=np.zeros(frames, np.float32),
            bpm=np.full(frames, NO_TEMPO, np.float32),
            beats_per_bar=np.full(frames, 4, np.uint8),
            pitch_class=np.full(frames, PITCH_UNKNOWN, np.uint8),
            roles=np.full((len(ROLES), frames), ROLE_UNKNOWN, np.uint8),
        )

    def cut(self, start: int, end: int) -> FrameTruth:
        """Frames start .. end - 1."""
        return FrameTruth(**{name: value[..., start:end] for name, value in vars(self).items()})


@dataclass(frozen=True)
class StatedCaption:
    """A text and the facts of the clip that it states."""

    text: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class ClipRecord:
    """One clip: codes [K, T], its frames, its captions and the facts that hold for all of it."""

    name: str
    codes: Codes
    truth: FrameTruth
    captions: tuple[StatedCaption, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def write_shard(path: Path, records: Sequence[ClipRecord]) -> None:
    """Writes clips, shorter ones padded at their end; the file appears whole or not at all.

    Raises CheckpointError when it cannot be written.
    """
    longest = max(record.codes.shape[1] for record in records)
    names = ("codes", *vars(records[0].truth))
    arrays = {}
    for name in names:
        rows = [r.codes if name == "codes" else getattr(r.truth, name) for r in records]
        padded = [np.pad(row, [(0, 0)] * (row.ndim - 1) + [(0, longest - row.shape[-1])])
                  for row in rows]  # fmt: skip
        arrays[name] = np.ascontiguousarray(np.stack(padded))
    clips = [
        {
            "name": record.name,
            "frames": record.codes.shape[1],
            "captions": [[caption.text, caption.facts] for caption in record.captions],
            "facts": record.facts,
        }
        for record in records
    ]
    with whole_file(path) as part:
        save_file(arrays, part, metadata={_METADATA_KEY: json.dumps(clips)})


def shard_names(path: Path) -> list[str]:
    """The names of a shard's clips, in order; none if there is no shard, or a damaged one."""
    try:
        with safe_open(path, framework="np") as file:
            clips = json.loads((file.metadata() or {})[_METADATA_KEY])
        return [str(clip["name"]) for clip in clips]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return []


@dataclass(frozen=True)
class ClipEntry:
    """Where a clip is, and what is said of it; its frames stay on the disk."""

    shard: Path
    row: int
    name: str
    frames: int
    captions: tuple[StatedCaption, ...]
    facts: dict[str, Any]


class ClipLibrary:
    """All clips of a folder of shards. One thread."""

    def __init__(self, folder: Path) -> None:
        """Raises CheckpointError for a damaged shard, ParameterError if there is none."""
        self.folder = folder
        self._files: dict[Path, Any] = {}
        self._bar_starts: dict[int, npt.NDArray[np.int64]] = {}
        self.clips = [clip for path in sorted(folder.glob(_PATTERN)) for clip in self._open(path)]
        if not self.clips:
            raise ParameterError(
                f"{folder}: there is no {_PATTERN}; run `musicgen-rt train encode` first"
            )

    @property
    def num_codebooks(self) -> int:
        """Codebooks of every clip."""
        return self._files[self.clips[0].shard].get_slice("codes").get_shape()[1]

    @property
    def frames(self) -> int:
        """Frames of all clips together."""
        return sum(clip.frames for clip in self.clips)

    def window(self, index: int, start: int, frames: int) -> tuple[Codes, FrameTruth]:
        """Codes [K, frames] and truth of a clip's frames from `start` on."""
        clip = self.clips[index]
        names = FrameTruth.__dataclass_fields__
        end = start + frames
        truth = {name: self._read(clip, name, start, end) for name in names}
        return self._read(clip, "codes", start, end), FrameTruth(**truth)

    def bar_starts(self, index: int) -> npt.NDArray[np.int64]:
        """The frames in which a clip's bars begin; none where the clock is unknown."""
        if index not in self._bar_starts:
            clip = self.clips[index]
            phase = self._read(clip, "bar_phase", 0, clip.frames)
            known = self._read(clip, "bpm", 0, clip.frames) > NO_TEMPO
            begins = 1 + np.flatnonzero((np.diff(phase) < 0) & known[1:])
            self._bar_starts[index] = begins.astype(np.int64)
        return self._bar_starts[index]

    def _read(self, clip: ClipEntry, name: str, start: int, end: int) -> Any:
        rows = self._files[clip.shard].get_slice(name)
        # The rows and codebooks before and after it in the file are not touched.
        if len(rows.get_shape()) == 2:
            return rows[clip.row, start:end]
        return rows[clip.row, :, start:end]

    def _open(self, path: Path) -> list[ClipEntry]:
        try:
            file = safe_open(path, framework="np")
            clips = json.loads((file.metadata() or {})[_METADATA_KEY])
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise CheckpointError(
                f"{path} is not a shard of encoded clips ({error!r}); delete it and encode again"
            ) from error
        self._files[path] = file
        return [
            ClipEntry(
                path,
                row,
                clip["name"],
                clip["frames"],
                tuple(StatedCaption(text, facts) for text, facts in clip["captions"]),
                clip["facts"],
            )
            for row, clip in enumerate(clips)
        ]
