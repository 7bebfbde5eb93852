"""Which beat is heard: one event a beat, and no burst of them after a pause."""

from __future__ import annotations

from bridge.control.message import Message
from bridge.control.session_clock import SessionClock


class BeatCounter:
    """Remembers the last beat that was told. [control]"""

    def __init__(self) -> None:
        self._last_beat: int | None = None

    def event_at(self, heard_frame: float, clock: SessionClock) -> Message | None:
        """The beat that has begun since the last call; only the last one if there are several."""
        beat = clock.whole_beat_at(heard_frame)
        if self._last_beat is not None and beat <= self._last_beat:
            return None
        self._last_beat = beat
        bpm = clock.timeline.bpm_at(heard_frame)
        return Message("/mgrt/beat", (*clock.place_at(heard_frame), bpm))
