"""What can be seen of the timeline buffer at one moment: positions, lead, what the playout does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class PlayoutState(IntEnum):
    """What the playout is doing."""

    STARTING = 0
    WAITING = 1  # nothing was ever written: the playhead stands still
    LIVE = 2
    FALLBACK = 3  # the last good bars in a loop; the playhead goes on
    STOPPED = 4  # the transport is stopped: the playhead stands still


@dataclass(frozen=True)
class BufferSnapshot:
    """All positions at one moment, in session samples.

    Valid music lies in [stretch_start, written_end). The device has taken everything before
    `reader_sample`; everything from `commit_sample` on can still be rewritten. What is heard at
    `dac_time_ns` of the monotonic clock is `dac_sample`; both are None until the playout knows.
    """

    stretch_start: int
    written_end: int
    reader_sample: int
    commit_sample: int
    state: PlayoutState
    underruns: int
    dac_sample: float | None
    dac_time_ns: int | None

    @property
    def lead_samples(self) -> int:
        """How long the music lasts beyond the commit point if nothing more is written."""
        if self.stretch_start > self.commit_sample:
            return 0
        return max(0, self.written_end - self.commit_sample)
