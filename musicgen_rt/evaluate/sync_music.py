"""Music that is marks: a click on every beat over a tone that never ends, in the timeline buffer.

Clicks lie on the session's beats to the sample; `prompt/set` changes their pitch from its frame on.
The tone shows starts, stops and mutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.timeline import Timeline

TONE_HZ: Final = 400.0
TONE_LEVEL: Final = 0.1
CLICK_LEVEL: Final = 0.5
CLICK_SECONDS: Final = 0.002
# By the number of prompts that were set: the pitch goes to and fro.
CLICK_HZ: Final = (3200.0, 5200.0)

_CHUNK_FRAMES: Final = 10
# Between a decision and its first sample: more than the device can take meanwhile.
_MARGIN_FRAMES: Final = 4
_FADE_SAMPLES: Final = 160


class MarkMusic:
    """Keeps the buffer filled, and rewrites it as an engine does. One thread."""

    def __init__(self, buffer: TimelineBuffer, timeline: Timeline, lead_seconds: float) -> None:
        self._buffer = buffer
        self._timeline = timeline
        self.hop_samples = round(buffer.rate_hz / timeline.frame_rate_hz)
        self._lead_samples = round(lead_seconds * buffer.rate_hz)
        # From which frame on which click is heard, in order.
        self._clicks: list[tuple[int, float]] = [(0, CLICK_HZ[0])]
        self._prompts = 0

    def begin(self, *, is_resume: bool) -> None:
        """The first music: at the buffer's start, or soon, after another engine."""
        first_frame = self._soonest_frame() if is_resume else 0
        self._buffer.start_stretch(first_frame * self.hop_samples)
        self.fill()

    def fill(self) -> None:
        """Write what is missing of the lead."""
        while True:
            now = self._buffer.snapshot()
            if now.written_end >= now.commit_sample + self._lead_samples:
                return
            try:
                self._buffer.write(now.written_end, self._music(now.written_end, 1))
            except BehindCommitError:
                self._buffer.start_stretch(self._soonest_frame() * self.hop_samples)

    def take(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """A message of the daemon; the answer to it."""
        if message["type"] == "timeline":
            self._timeline = Timeline.from_json(message["timeline"])
            self._rewrite(int(message["frame"] or 0))
        if message["type"] != "command":
            return None
        frame = max(self._soonest_frame(), message["frame"] or 0)
        if message["name"] == "prompt/set":
            self._prompts += 1
            self._clicks = [*self._clicks[-8:], (frame, CLICK_HZ[self._prompts % 2])]
            self._rewrite(frame - 1)
        return {"type": "applied", "id": message["id"], "frame": frame}

    def _rewrite(self, frame: int) -> None:
        """Write anew from a frame on, as far as was written."""
        first = max(frame, self._soonest_frame()) * self.hop_samples
        end = self._buffer.snapshot().written_end
        chunks = -(-(end - first) // (_CHUNK_FRAMES * self.hop_samples))
        if chunks > 0:
            self._buffer.write(first, self._music(first, chunks), _FADE_SAMPLES)

    def _soonest_frame(self) -> int:
        return -(-self._buffer.snapshot().commit_sample // self.hop_samples) + _MARGIN_FRAMES

    def _music(self, first_sample: int, chunks: int) -> NDArray[np.float32]:
        """Chunks [C, N] from `first_sample` on."""
        rate_hz, count = self._buffer.rate_hz, chunks * _CHUNK_FRAMES * self.hop_samples
        at = np.arange(first_sample, first_sample + count)
        samples = TONE_LEVEL * np.sin(2 * np.pi * TONE_HZ / rate_hz * at)
        length = round(CLICK_SECONDS * rate_hz)
        for beat_sample in self._beats(first_sample - length, first_sample + count):
            wave = 2 * np.pi * self._click_hz(beat_sample) / rate_hz * np.arange(length)
            begin = beat_sample - first_sample
            low, high = max(0, begin), min(count, begin + length)
            samples[low:high] += CLICK_LEVEL * np.cos(wave[low - begin : high - begin])
        return np.tile(samples.astype(np.float32), (self._buffer.channels, 1))

    def _beats(self, first_sample: int, end_sample: int) -> list[int]:
        beat = int(self._timeline.beat_at(max(0, first_sample) / self.hop_samples)) - 1
        found: list[int] = []
        while (sample := round(self._timeline.frame_at(beat) * self.hop_samples)) < end_sample:
            # A beat that is jumped over falls on the jump, and is none.
            is_beat = abs(self._timeline.beat_at(sample / self.hop_samples) - beat) < 0.01
            if sample >= first_sample and is_beat:
                found.append(sample)
            beat += 1
        return found

    def _click_hz(self, sample: int) -> float:
        frame = round(sample / self.hop_samples)
        return [hz for begin, hz in self._clicks if begin <= frame][-1]
