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
# What was asked of a child that has gone since, or did not listen, is asked again after so long.
_INSIST_NS = 250_000_000

_ORDERS = {"bpm": "tempo", "beats_per_bar": "signature"}


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
        # What was asked of the child, by the name that its reports have for it.
        self._asked: dict[str, float] = {}
        self._asked_ns = 0

    def require_tempo(self, bpm: float) -> None:
        if not self._is_master:
            super().require_tempo(bpm)

    def tempo(self, bpm: float, at_ns: int) -> float:
        self.require_tempo(bpm)
        low, high = BPM_RANGE
        self._ask("bpm", min(max(bpm, low), high))
        return bpm

    def signature(self, beats_per_bar: int) -> int:
        if not self._is_master:
            raise Refusal(
                f"{beats_per_bar} beats in a bar are not ours to choose, clock/source is jack: "
                f"set them in {self.host}"
            )
        self._ask("beats_per_bar", beats_per_bar)
        return beats_per_bar

    def anchor(self, now_ns: int) -> Anchor | None:
        for message in self._child.take():
            if message.get("type") == "transport":
                self._heard_ns = now_ns
                self._anchor = _anchor_of(message)
                self._is_master = bool(message.get("is_master"))
                self._insist(message, now_ns)
        return self._anchor if now_ns - self._heard_ns < _SILENCE_NS else None

    def quality(self, now_ns: int) -> Quality:
        return Quality(self._anchor is not None and now_ns - self._heard_ns < _SILENCE_NS)

    def stop(self) -> None:
        self._child.stop()

    def _ask(self, name: str, value: float) -> None:
        self._asked[name] = value
        self._child.send({"type": _ORDERS[name], name: value})

    def _insist(self, report: dict[str, Any], now_ns: int) -> None:
        """A child that was started again, as after JACK, knows nothing of what was asked."""
        if report.get("is_theirs"):
            self._asked.clear()
        if not self._is_master or now_ns - self._asked_ns < _INSIST_NS:
            return
        self._asked_ns = now_ns
        for name, value in self._asked.items():
            if report.get(name) != value:
                self._ask(name, value)


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
