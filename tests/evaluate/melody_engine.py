"""An engine in the real one's place that plays the keys which it is told, as sines.

It follows from the frame that it answers with; a loop repeats what was struck while it was heard.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import BehindCommitError, TimelineBuffer
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate import sync_engine
from musicgen_rt.evaluate.sync_engine import SyncEngine, main
from musicgen_rt.evaluate.sync_music import MarkMusic

_LEVEL: Final = 0.3
_LEAD_SECONDS: Final = 0.8
# More than an engine of marks leaves between a decision and its sound: tones take longer to make.
_MARGIN_FRAMES: Final = 6
_CHUNK_FRAMES: Final = 10
_A4_NOTE, _A4_HZ = 69, 440.0
# What the free engine plays.
_FREE_PITCH: Final = 61
# A key that is struck so little before a bar line begins a loop there.
_EARLY_BEATS: Final = 0.25


class KeyMusic(MarkMusic):
    """What is held at each frame, or at the loop's beat that is there."""

    def __init__(self, buffer: TimelineBuffer, timeline: Timeline, lead_seconds: float) -> None:
        self._mode, self._loop_beats = "off", 8
        # From which frame on, and from which beat of the loop on, is which pitch held?
        self._held: list[tuple[int, int | None]] = []
        self._struck: list[tuple[float, int | None]] = []
        self._loop_beat: float | None = None
        super().__init__(buffer, timeline, min(lead_seconds, _LEAD_SECONDS))

    def take(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = super().take(message)
        if answer is not None:
            self._play(message["name"], message["args"], int(answer["frame"]))
        return answer

    def _play(self, name: str, args: list[Any], frame: int) -> None:
        if name == "melody/clear":
            self._mode, self._held, self._struck, self._loop_beat = "off", [], [], None
        elif name == "melody/mode":
            self._mode, self._held = args[0], []
        elif name in ("melody/note_on", "melody/note_off"):
            pitch = args[0] if name == "melody/note_on" else None
            beat = self._timeline.beat_at(self._buffer.snapshot().reader_sample / self.hop_samples)
            self._held.append((frame, pitch))
            if self._mode == "loop":
                if self._loop_beat is None:
                    bar, _ = self._timeline.bar_position_at(
                        self._timeline.frame_at(beat + _EARLY_BEATS)
                    )
                    self._loop_beat = self._timeline.beat_at(self._timeline.bar_line_at(bar))
                self._struck.append((beat - self._loop_beat, pitch))
        else:
            return
        self._rewrite(frame)

    def _soonest_frame(self) -> int:
        return super()._soonest_frame() + _MARGIN_FRAMES

    def _rewrite(self, frame: int) -> None:
        """On a starved machine what was just soon enough is played by now."""
        while True:
            try:
                super()._rewrite(frame)
                return
            except BehindCommitError:
                frame += _MARGIN_FRAMES

    def _pitch(self, frame: int) -> int | None:
        if self._mode == "off":
            return _FREE_PITCH
        steps: list[tuple[float, int | None]] = [*self._held]
        at: float = frame
        if self._loop_beat is not None:
            beats = self._timeline.beat_at(frame) - self._loop_beat
            if beats >= self._loop_beats:
                steps, at = self._struck, beats % self._loop_beats
        return next((pitch for begin, pitch in reversed(steps) if begin <= at), None)

    def _music(self, first_sample: int, chunks: int) -> NDArray[np.float32]:
        hop, rate_hz = self.hop_samples, self._buffer.rate_hz
        parts = []
        for frame in range(first_sample // hop, first_sample // hop + chunks * _CHUNK_FRAMES):
            pitch, at = self._pitch(frame), np.arange(hop * frame, hop * (frame + 1))
            hz = 0.0 if pitch is None else _A4_HZ * 2 ** ((pitch - _A4_NOTE) / 12)
            parts.append(_LEVEL * np.sin(2 * np.pi * hz / rate_hz * at))
        return np.tile(np.concatenate(parts).astype(np.float32), (self._buffer.channels, 1))


class KeyEngine(SyncEngine):
    """Says that it can follow a melody."""

    def _ready(self, start: dict[str, Any], hop_samples: int) -> dict[str, Any]:
        return {**super()._ready(start, hop_samples), "has_chroma": True}


if __name__ == "__main__":
    vars(sync_engine).update(MarkMusic=KeyMusic, SyncEngine=KeyEngine)
    sys.exit(main())
