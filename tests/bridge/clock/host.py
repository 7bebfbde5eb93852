"""A host and a sound card in virtual time, around a real session without sockets or children.

The host's position is the truth that the session is measured by: `error_ms` compares what is heard
with it, and nothing of it comes from the code under test.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.clock.anchor import Anchor, Quality
from bridge.clock.internal import built_in_sources
from bridge.clock.source import HostClock
from bridge.control.position import SECOND_NS
from musicgen_rt.contract.timeline import Timeline
from tests.bridge.control.rig import HOP, RATE_HZ, Rig

TICK_SECONDS = 0.02
LEAD_SAMPLES = 2 * RATE_HZ


class VirtualHost(HostClock):
    """A host whose beats are counted exactly: tempo, place and transport are ours to change."""

    name = "jack"

    def __init__(self, bpm: float = 120.0) -> None:
        self.anchor_now = Anchor(5_000 * SECOND_NS, 0.0, bpm, is_playing=True)
        self.is_known = True

    def anchor(self, now_ns: int) -> Anchor | None:
        return self.anchor_now if self.is_known else None

    def quality(self, now_ns: int) -> Quality:
        return Quality(self.is_known)

    def stop(self) -> None:
        self.is_known = False

    def change(self, now_ns: int, **fields: Any) -> None:
        """Another tempo, beat, ... from now on."""
        now = self.anchor_now
        beat = now.beat_at(now_ns) if now.is_running else now.beat
        self.anchor_now = replace(now, **{"time_ns": now_ns, "beat": beat, **fields})


class Stage(Rig):
    """A session that follows a virtual host, on a sound card that is `ppm` fast."""

    def __init__(self, folder: Path, bpm: float = 120.0, ppm: float = 0.0, **config: Any) -> None:
        self.host = VirtualHost(bpm)
        sources = built_in_sources()
        sources.register("jack", lambda _: self.host)
        super().__init__(folder, sources=sources, **config)
        self.ppm = ppm
        self._heard = 0.0
        self.errors_ms: list[float] = []

    def follow(self) -> Stage:
        self.start()
        assert self.send("/mgrt/clock/source", "jack")[0][0] == "/done"
        self.forget()
        return self

    def move_to(self, sample: int) -> None:
        super().move_to(sample)
        self.position = replace(self.position, written_end=sample + LEAD_SAMPLES)

    def run(self, seconds: float) -> None:
        """Time passes; the error is taken at each tick."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.now_ns += round(TICK_SECONDS * SECOND_NS)
            if self.position.is_moving:
                self._heard += TICK_SECONDS * RATE_HZ * (1 + self.ppm * 1e-6)
                self.move_to(round(self._heard))
            self.dispatcher.tick()
            self.errors_ms.append(self.error_ms())

    def error_ms(self, beats_per_bar: int = 4) -> float:
        """By how much the host is ahead of what is heard."""
        timeline = self.session.timeline
        _, place = timeline.bar_position_at(self.position.dac_sample / HOP)
        ahead = (self.host.anchor_now.beat_at(self.now_ns) - place) % beats_per_bar
        ahead = (ahead + beats_per_bar / 2) % beats_per_bar - beats_per_bar / 2
        return ahead * 60_000 / self.host.anchor_now.bpm

    def worst_ms(self, last_seconds: float) -> float:
        """The largest error of the last seconds."""
        return max(abs(one) for one in self.errors_ms[-round(last_seconds / TICK_SECONDS) :])

    def stand_at(self, sample: int) -> None:
        """The playout says that the playhead stands."""
        self._heard = float(sample)
        self.position = replace(
            self.position, reader_sample=sample, commit_sample=sample, is_moving=False
        )
        self.dispatcher.from_playout({"type": "state", "state": "stopped", "sample": sample})

    def timelines(self) -> list[tuple[int, Timeline]]:
        """What the engine was told."""
        sent = [one for one in self.engine if one["type"] == "timeline"]
        return [(one["frame"], Timeline.from_json(one["timeline"])) for one in sent]

    def gates(self) -> list[dict[str, Any]]:
        return [one for one in self.playout if one["type"] == "gate"]
