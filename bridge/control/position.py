"""Where the session stands, as the timeline buffer shows it at one moment."""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 10**9


@dataclass(frozen=True)
class Position:
    """Positions in session samples; `dac_sample` is heard at `dac_time_ns` (monotonic; 0: unknown).

    Everything before `commit_sample` has left for the device and cannot be changed any more.
    `is_moving` says that the session advances: transport playing, playout alive.
    """

    sample_rate_hz: int = 32000
    hop_samples: int = 640
    reader_sample: int = 0
    commit_sample: int = 0
    stretch_start: int = 0
    written_end: int = 0
    dac_sample: int = 0
    dac_time_ns: int = 0
    is_moving: bool = False

    @property
    def commit_frame(self) -> int:
        """The first frame that can still be changed."""
        return -(-self.commit_sample // self.hop_samples)

    @property
    def lead_ms(self) -> float:
        """How much music is made but not yet taken for the device."""
        return max(0, self.written_end - self.reader_sample) * 1000 / self.sample_rate_hz

    def heard_sample(self, now_ns: int) -> float:
        """The sample that is heard at `now_ns`; never one that has not left yet."""
        if not self.dac_time_ns or not self.is_moving:
            return float(self.reader_sample)
        elapsed = (now_ns - self.dac_time_ns) * self.sample_rate_hz / SECOND_NS
        return min(self.dac_sample + elapsed, float(self.reader_sample))

    def heard_frame(self, now_ns: int) -> float:
        """The codec frame, with its fraction, that is heard at `now_ns`."""
        return self.heard_sample(now_ns) / self.hop_samples

    def frame_at(self, time_ns: int, now_ns: int) -> float:
        """The frame that will be heard, or was heard, at another time if all goes on as it does."""
        ahead = (time_ns - now_ns) * self.sample_rate_hz / SECOND_NS
        return (self._unclamped_sample(now_ns) + ahead) / self.hop_samples

    def time_of_frame_ns(self, frame: float, now_ns: int) -> int:
        """When a frame will be heard, or was heard, if all goes on as it does."""
        ahead = frame * self.hop_samples - self._unclamped_sample(now_ns)
        return now_ns + round(ahead * SECOND_NS / self.sample_rate_hz)

    def _unclamped_sample(self, now_ns: int) -> float:
        if not self.dac_time_ns or not self.is_moving:
            return float(self.reader_sample)
        return self.dac_sample + (now_ns - self.dac_time_ns) * self.sample_rate_hz / SECOND_NS
