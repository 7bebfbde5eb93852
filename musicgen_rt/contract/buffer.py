"""The timeline buffer: the music's samples in shared memory, addressed by absolute position.

The engine writes ahead of the playhead and may take back what is not yet committed; the playout
reads. The memory has no name: the daemon creates it and its children inherit the descriptor, so
nothing is ever left over. Positions are session samples: they begin at 0, never wrap and never
come again.

Valid are the samples in [stretch_start, written_end). The playout may at any moment have taken
everything before `commit_sample`; only what lies at or after it can be rewritten. Both sides
announce first and look second - the playout up to where it reads, the engine from where it
rewrites - so that whatever the timing at least one sees the other and gives way.
"""

from __future__ import annotations

import math
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.buffer_snapshot import BufferSnapshot, PlayoutState
from musicgen_rt.contract.shared_fields import Fields, create_memory, fence, map_memory
from musicgen_rt.errors import MusicgenRTError, ParameterError

HISTORY_SECONDS = 20.0
MAX_CHANNELS = 32

_MAGIC = 0x4D47525442554631  # "MGRTBUF1"
_HEADER_BYTES = 4096
_NEVER = (1 << 62) - 1
# How often a pair of fields is read anew while the other process changes it: microseconds, unless
# that process was stopped in the middle.
_LOOKS = 200
_PEEKS = 3

# Fields by their only writer: the creator, the engine, the playout.
_CREATOR = ("magic", "rate_hz", "channels", "capacity_samples", "history_samples")
_ENGINE = ("version", "stretch_start", "written_end", "rewrite_from")
_PLAYOUT = ("reader_sample", "commit_sample", "state", "underruns", "dac_version", "dac_time_ns")
_INTEGERS = (*_CREATOR, *_ENGINE, *_PLAYOUT)
_FLOATS = ("dac_sample",)


class BehindCommitError(MusicgenRTError):
    """Samples were to be written where the playout may already have read; nothing was written.

    `commit_sample` is the first sample that could still be written: skip ahead.
    """

    def __init__(self, first_sample: int, commit_sample: int) -> None:
        super().__init__(
            f"sample {first_sample} is behind the commit point {commit_sample}: "
            "go on from a later sample with start_stretch"
        )
        self.first_sample = first_sample
        self.commit_sample = commit_sample


class BufferFullError(MusicgenRTError):
    """Samples were to be written over history that is still needed: wait for the playhead."""


class Valid(NamedTuple):
    """Where valid samples end, and whether the engine is changing some of them right now."""

    end_sample: int
    is_changing: bool


class TimelineBuffer:
    """One writing thread in the engine, one reading thread in the playout, lookers-on anywhere.

    Make one with `create` or `attach`. `fd` is the descriptor to pass on to a child; `rate_hz`,
    `channels`, `capacity_samples` and `history_samples` never change.
    """

    def __init__(self, file_descriptor: int) -> None:
        self.fd = file_descriptor
        memory = map_memory(file_descriptor)
        self._fields = Fields(memory, _INTEGERS, _FLOATS, _HEADER_BYTES)
        if self._fields.get("magic") != _MAGIC:
            raise ParameterError(f"descriptor {file_descriptor} holds no timeline buffer")
        self.rate_hz = self._fields.get("rate_hz")
        self.channels = self._fields.get("channels")
        self.capacity_samples = self._fields.get("capacity_samples")
        self.history_samples = self._fields.get("history_samples")
        count = self.capacity_samples * self.channels
        samples = np.frombuffer(memory, np.float32, count, offset=_HEADER_BYTES)
        self._ring = samples.reshape(self.capacity_samples, self.channels)  # [capacity, C]

    @classmethod
    def create(
        cls,
        sample_rate_hz: int,
        channels: int,
        capacity_samples: int,
        history_samples: int | None = None,
    ) -> TimelineBuffer:
        """New memory for `capacity_samples`: the history (default 20 s) and the lead. [control]

        Raises ParameterError for sizes that make no sense and OSError without memory.
        """
        if history_samples is None:
            history_samples = math.ceil(HISTORY_SECONDS * sample_rate_hz)
        if sample_rate_hz < 1 or not 1 <= channels <= MAX_CHANNELS:
            raise ParameterError(
                f"{sample_rate_hz} Hz and {channels} channels: expected at least 1 Hz and "
                f"1 to {MAX_CHANNELS} channels"
            )
        if not 0 <= history_samples < capacity_samples:
            raise ParameterError(
                f"a capacity of {capacity_samples} samples with a history of {history_samples}: "
                "expected room for the history and for the lead"
            )
        fd = create_memory(_HEADER_BYTES + 4 * capacity_samples * channels)
        fields = Fields(map_memory(fd), _INTEGERS, _FLOATS, _HEADER_BYTES)
        sizes = (_MAGIC, sample_rate_hz, channels, capacity_samples, history_samples)
        for name, value in zip(_CREATOR, sizes, strict=True):
            fields.set(name, value)
        fields.set("rewrite_from", _NEVER)
        return cls(fd)

    @classmethod
    def attach(cls, file_descriptor: int) -> TimelineBuffer:
        """Map what another process created; its own children do not inherit it.

        Raises ParameterError if the descriptor is something else.
        """
        os.set_inheritable(file_descriptor, False)
        return cls(file_descriptor)

    def close(self) -> None:
        """Close the descriptor; the memory goes with the last process that has it mapped."""
        os.close(self.fd)

    def start_stretch(self, first_sample: int) -> None:
        """Begin a new, empty stretch at `first_sample`, as after a hole. [engine]

        What was written before is no longer valid. Raises BehindCommitError when the playout has
        passed `first_sample`; then nothing has changed.
        """
        self._announce_rewrite(first_sample)
        self._publish(first_sample, first_sample)

    def write(self, first_sample: int, samples: NDArray[Any], fade_samples: int = 0) -> None:
        """Append `samples` [C, N], or rewrite from `first_sample` on. [engine]

        In a rewrite the old samples go over into the new ones during `fade_samples`, as far as
        there are old ones. What was written beyond the end of `samples` is no longer valid.

        Raises BehindCommitError when the playout may have read `first_sample`, BufferFullError
        when history would be overwritten, ParameterError for a wrong shape or a `first_sample`
        outside [stretch_start, written_end]. Nothing has changed then.
        """
        start, end = self._stretch()
        self._check_write(first_sample, samples, start, end)
        new = np.array(samples.T, dtype=np.float32)  # [N, C], a copy
        if first_sample < end:
            self._announce_rewrite(first_sample)
            self._fade_from_old(first_sample, new, min(fade_samples, end - first_sample))
        elif first_sample < (commit := self._fields.get("commit_sample")):
            raise BehindCommitError(first_sample, commit)
        self._paste(first_sample, new)
        if first_sample < end:
            self._publish(start, first_sample + len(new))
        else:
            fence()
            self._fields.set("written_end", first_sample + len(new))

    def claim(self, first_sample: int, count: int) -> NDArray[np.float32] | None:
        """Commit to [first_sample, first_sample + count) and read it. [playout]

        Returns the valid samples [C, n] from `first_sample` on, n <= count; the engine can no
        longer change them. None while it is in the middle of rewriting them: try again.
        """
        self._fields.set("commit_sample", first_sample + count)
        fence()
        if self._fields.get("rewrite_from") < first_sample + count:
            return None
        return self._copy_valid(first_sample, count)

    def commit(self, sample: int) -> None:
        """Publish the first sample that can still be rewritten, without reading. [playout]"""
        self._fields.set("commit_sample", sample)

    def peek(self, first_sample: int, count: int) -> NDArray[np.float32]:
        """The valid samples [C, n] from `first_sample` on, n <= count, history included. [any]

        The engine may still change those after the commit point. Never a mixture of old and new:
        what is being rewritten counts as not valid, and nothing is when it changes all the time.
        """
        for _ in range(_PEEKS):
            version = self._fields.get("version")
            limit = self._fields.get("rewrite_from")
            fence()
            samples = self._copy_valid(first_sample, min(count, limit - first_sample))
            fence()
            if self._fields.get("rewrite_from") >= min(limit, first_sample + samples.shape[1]) and (
                self._fields.get("version") == version
            ):
                return samples
        return samples[:, :0]

    def valid_from(self, first_sample: int) -> Valid:
        """How far samples are valid from `first_sample` on; no further if it is not itself. [any]

        While `is_changing` the end may come to lie further on: ask again before acting on it.
        """
        limit = self._fields.get("rewrite_from")
        fence()
        start, end = self._stretch()
        limit = min(limit, self._fields.get("rewrite_from"))
        end = min(end, limit) if start <= first_sample else first_sample
        return Valid(max(first_sample, end), limit != _NEVER)

    def publish_reader(self, sample: int) -> None:
        """Publish the first sample that the device has not taken yet. [playout]"""
        self._fields.set("reader_sample", sample)

    def publish_state(self, state: PlayoutState, underruns: int) -> None:
        """Publish what the playout does and how often the device found nothing. [playout]"""
        self._fields.set("state", state)
        self._fields.set("underruns", underruns)

    def publish_dac(self, sample: float, time_ns: int) -> None:
        """Publish that `sample` is heard at `time_ns` of the monotonic clock. [playout]"""
        version = self._fields.get("dac_version") | 1
        self._fields.set("dac_version", version)
        fence()
        self._fields.set_float("dac_sample", sample)
        self._fields.set("dac_time_ns", time_ns)
        fence()
        self._fields.set("dac_version", version + 1)

    def snapshot(self) -> BufferSnapshot:
        """All positions. [any]"""
        stretch_start, written_end = self._stretch()
        dac = self._dac()
        return BufferSnapshot(
            stretch_start=stretch_start,
            written_end=written_end,
            reader_sample=self._fields.get("reader_sample"),
            commit_sample=self._fields.get("commit_sample"),
            state=PlayoutState(self._fields.get("state")),
            underruns=self._fields.get("underruns"),
            dac_sample=dac[0] if dac else None,
            dac_time_ns=dac[1] if dac else None,
        )

    def _check_write(self, first: int, samples: NDArray[Any], start: int, end: int) -> None:
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ParameterError(f"samples of shape {samples.shape}: expected [{self.channels}, N]")
        if not start <= first <= end:
            raise ParameterError(
                f"a write from sample {first}: expected one in [{start}, {end}]; "
                "leave a hole with start_stretch"
            )
        room_end = self._fields.get("reader_sample") + self.capacity_samples - self.history_samples
        if first + samples.shape[1] > room_end:
            raise BufferFullError(
                f"samples up to {first + samples.shape[1]}: there is room up to {room_end}; "
                "wait for the playhead or choose a smaller lead"
            )

    def _announce_rewrite(self, first: int) -> None:
        """Tell the playout that samples from `first` on change, unless it may have read them."""
        self._fields.set("rewrite_from", first)
        fence()
        commit = self._fields.get("commit_sample")
        if first < commit:
            self._fields.set("rewrite_from", _NEVER)
            raise BehindCommitError(first, commit)

    def _publish(self, stretch_start: int, written_end: int) -> None:
        """Change the stretch, and end the rewrite."""
        # An engine that was killed in here leaves an odd version; the next one mends it.
        version = self._fields.get("version") | 1
        self._fields.set("version", version)
        fence()
        self._fields.set("stretch_start", stretch_start)
        self._fields.set("written_end", written_end)
        fence()
        self._fields.set("version", version + 1)
        self._fields.set("rewrite_from", _NEVER)

    def _stretch(self) -> tuple[int, int]:
        """Start and end of the valid stretch; an empty one if the engine died changing it."""
        for _ in range(_LOOKS):
            version = self._fields.get("version")
            fence()
            start, end = self._fields.get("stretch_start"), self._fields.get("written_end")
            fence()
            if version % 2 == 0 and self._fields.get("version") == version:
                return start, end
        return start, start

    def _dac(self) -> tuple[float, int] | None:
        for _ in range(_LOOKS):
            version = self._fields.get("dac_version")
            fence()
            dac = self._fields.get_float("dac_sample"), self._fields.get("dac_time_ns")
            fence()
            if version % 2 == 0 and self._fields.get("dac_version") == version:
                return dac if version else None
        return None

    def _copy_valid(self, first: int, count: int) -> NDArray[np.float32]:
        """The valid ones of [first, first + count) from `first` on: [C, n]."""
        start, end = self._stretch()
        n = max(0, min(count, end - first)) if start <= first else 0
        samples = np.ascontiguousarray(self._copy(first, n).T)
        # Looked at last: what is older may be overwritten at any time.
        is_kept = first >= self._fields.get("reader_sample") - self.history_samples
        return samples if is_kept else samples[:, :0]

    def _copy(self, first: int, count: int) -> NDArray[np.float32]:
        """[count, C], whatever is there."""
        at = first % self.capacity_samples
        until_wrap = self.capacity_samples - at
        if count <= until_wrap:
            return self._ring[at : at + count].copy()
        return np.concatenate([self._ring[at:], self._ring[: count - until_wrap]])

    def _paste(self, first: int, new: NDArray[np.float32]) -> None:
        """Put [N, C] in its place."""
        at = first % self.capacity_samples
        until_wrap = min(self.capacity_samples - at, len(new))
        self._ring[at : at + until_wrap] = new[:until_wrap]
        self._ring[: len(new) - until_wrap] = new[until_wrap:]

    def _fade_from_old(self, first: int, new: NDArray[np.float32], fade_samples: int) -> None:
        """Let `new` [N, C] begin as what stands at `first` and become itself, in place."""
        n = max(0, min(fade_samples, len(new)))
        gain = (np.arange(n, dtype=np.float32)[:, None] + 1) / (n + 1)
        new[:n] = new[:n] * gain + self._copy(first, n) * (1 - gain)
