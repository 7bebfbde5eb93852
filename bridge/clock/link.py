"""Ableton Link as a clock source: tempo and beats are everybody's, bars align modulo the quantum.

Link's clock is the system's raw monotonic one, which drifts from the monotonic one: both are read
at each look. Anchors are as heard, since whoever follows works with the times of what is heard; so
nothing is added here for the output's latency.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from bridge.clock.anchor import Anchor, Quality
from bridge.clock.source import HostClock
from bridge.clock.taps import TapRow, Taps
from bridge.refusal import Refusal

_LOOKS = 3
_QUANTUM_BEATS = 4


class LinkSource(HostClock):
    """A peer of the Link session on this network. [control]"""

    name = "link"

    def __init__(self, session: Anchor) -> None:
        """Where there is no Link session to join, ours has the tempo and beats of `session`.

        Raises Refusal without the package, whose licence is the GPL: it is never a default.
        """
        try:
            library: Any = importlib.import_module("link")
        except ImportError as error:
            raise Refusal(
                "source 'link' needs the package LinkPython-extern (GPL): "
                "pip install 'musicgen-rt[link]'"
            ) from error
        self._link = library.Link(session.bpm)
        self._quantum_beats = session.beats_per_bar or _QUANTUM_BEATS
        self._taps = TapRow()
        self._begin(session)
        self._link.startStopSyncEnabled = True
        self._link.enabled = True
        # Start and stop are the peers' only once one of them has used them.
        self._has_transport = False

    @property
    def peers(self) -> int:
        """How many others there are."""
        return int(self._link.numPeers())

    def require_tempo(self, bpm: float) -> None:
        """Any tempo is taken."""

    def tempo(self, bpm: float, at_ns: int) -> float:
        """All peers take it."""
        state = self._link.captureSessionState()
        state.setTempo(bpm, self._link.clock().micros())
        self._link.commitSessionState(state)
        return bpm

    def tap(self, now_ns: int) -> Taps:
        taps = self._taps.tap(now_ns)
        if taps.bpm is not None:
            self.tempo(taps.bpm, now_ns)
        return taps

    def quantum(self, beats: int) -> None:
        self._quantum_beats = beats

    def transport(self, is_playing: bool, at_ns: int) -> None:
        """All peers that share start and stop begin or end with us."""
        micros, looked_ns = self._look()
        state = self._link.captureSessionState()
        state.setIsPlaying(is_playing, micros + (at_ns - looked_ns) // 1000)
        self._link.commitSessionState(state)

    def anchor(self, now_ns: int) -> Anchor | None:
        micros, looked_ns = self._look()
        state = self._link.captureSessionState()
        is_playing = bool(state.isPlaying())
        self._has_transport = self._has_transport or is_playing
        return Anchor(
            looked_ns,
            float(state.beatAtTime(micros, float(self._quantum_beats))),
            float(state.tempo()),
            is_playing=is_playing if self._has_transport else None,
            quantum_beats=self._quantum_beats,
            playing_from_ns=looked_ns + (int(state.timeForIsPlaying()) - micros) * 1000,
        )

    def quality(self, now_ns: int) -> Quality:
        return Quality(is_locked=self.peers > 0)

    def stop(self) -> None:
        self._link.enabled = False

    def _begin(self, session: Anchor) -> None:
        """Before anybody is met: the beats that are heard are Link's."""
        micros, looked_ns = self._look()
        state = self._link.captureSessionState()
        beat = session.beat_at(looked_ns) % self._quantum_beats
        state.requestBeatAtTime(beat, micros, float(self._quantum_beats))
        self._link.commitSessionState(state)

    def _look(self) -> tuple[int, int]:
        """Link's time and the monotonic one at the same moment."""
        looks = []
        for _ in range(_LOOKS):
            before = time.monotonic_ns()
            micros = int(self._link.clock().micros())
            after = time.monotonic_ns()
            looks.append((after - before, micros, (before + after) // 2))
        _, micros, looked_ns = min(looks)
        return micros, looked_ns
