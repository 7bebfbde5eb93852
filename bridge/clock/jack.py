"""JACK's transport as a clock source: followed where another program says the bars, else led."""

from __future__ import annotations

import importlib.util
from typing import Any

from bridge.clock.anchor import Anchor, Quality
from bridge.clock.child import ClockChild
from bridge.clock.source import HostClock
from bridge.refusal import Refusal
from musicgen_rt.contract.timeline import BPM_RANGE

_MODULE = "bridge.clock.jack_process"
# Longer without a word from the child, the server hangs or is gone.
_SILENCE_NS = 500_000_000


class JackSource(HostClock):
    """Anchors of JACK's transport. [control]"""

    name = "jack"
    host = "the program that is JACK's timebase master"

    def __init__(self, session: Anchor) -> None:
        """Where nobody says the bars, the session's tempo and bars are JACK's.

        Raises Refusal without JACK-Client.
        """
        if importlib.util.find_spec("jack") is None:
            raise Refusal("source 'jack' needs the package JACK-Client: pip install JACK-Client")
        tempo = ("--bpm", f"{session.bpm}", "--beats-per-bar", f"{session.beats_per_bar or 4}")
        arguments = ("--timebase", *tempo)
        self._child = ClockChild(_MODULE, arguments)
        self._anchor: Anchor | None = None
        self._heard_ns = 0
        self._is_master = False

    def tempo(self, bpm: float) -> float:
        if not self._is_master:
            return super().tempo(bpm)
        low, high = BPM_RANGE
        self._child.send({"type": "tempo", "bpm": min(max(bpm, low), high)})
        return bpm

    def signature(self, beats_per_bar: int) -> int:
        if not self._is_master:
            raise Refusal(
                f"{beats_per_bar} beats in a bar are not ours to choose, clock/source is jack: "
                f"set them in {self.host}"
            )
        self._child.send({"type": "signature", "beats_per_bar": beats_per_bar})
        return beats_per_bar

    def anchor(self, now_ns: int) -> Anchor | None:
        for message in self._child.take():
            if message.get("type") == "transport":
                self._heard_ns = now_ns
                self._anchor = _anchor_of(message)
                self._is_master = bool(message.get("is_master"))
        return self._anchor if now_ns - self._heard_ns < _SILENCE_NS else None

    def quality(self, now_ns: int) -> Quality:
        return Quality(self._anchor is not None and now_ns - self._heard_ns < _SILENCE_NS)

    def stop(self) -> None:
        self._child.stop()


def _anchor_of(message: dict[str, Any]) -> Anchor | None:
    if message.get("beat") is None:
        return None
    is_rolling = bool(message["is_rolling"])
    return Anchor(
        time_ns=int(message["time_ns"]),
        beat=float(message["beat"]),
        bpm=float(message["bpm"]),
        is_playing=is_rolling,
        beats_per_bar=int(message["beats_per_bar"]),
        is_running=is_rolling,
    )
