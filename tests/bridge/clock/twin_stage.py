"""The whole daemon but its model, in virtual time: session, playout, device, host, their clocks.

Real: dispatcher, session, follower, timeline buffer, player, resampler, DAC clock, gate. Virtual:
time, the sound card (rate, block size, a clock of its own), the host, and the music, which is marks
(`MarkMusic`). What the sound card was given is compared with the host's beats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.clock.internal import built_in_sources
from bridge.clock.source import ClockSources
from bridge.control.control_config import ControlConfig
from bridge.control.dispatcher import Dispatcher
from bridge.control.message import Message
from bridge.control.position import SECOND_NS, Position
from bridge.control.session import Session
from bridge.control.session_config import SessionConfig
from bridge.playout.options import PlayoutOptions
from bridge.playout.player import Player
from bridge.playout.requests import Requests
from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.evaluate.sync_music import MarkMusic
from tests.bridge.clock.host import VirtualHost
from tests.bridge.control.rig import HOP, RATE_HZ, READY, WALL_NS
from tests.bridge.playout.twin import TwinOutput, VirtualClock

TICK_SECONDS = 0.01


@dataclass(frozen=True)
class Card:
    """A sound card; its clock is `ppm` fast."""

    rate_hz: int = 48000
    block_frames: int = 512
    ppm: float = 0.0


class TwinStage:
    """Everything of one run."""

    def __init__(
        self,
        folder: Path,
        card: Card,
        bpm: float,
        *,
        sources: ClockSources | None = None,
        begin_ns: int | None = None,
    ) -> None:
        """With `sources` the session keeps its own beats at first, and nobody is followed."""
        self.card = card
        self.clock = VirtualClock()
        if begin_ns is not None:
            self.clock.now_ns = begin_ns
        self.host = VirtualHost(bpm)
        self.host.change(self.clock.now_ns, beat=0.37)
        self.buffer = TimelineBuffer.create(RATE_HZ, 1, 44 * RATE_HZ, 20 * RATE_HZ)
        is_following = sources is None
        if sources is None:
            sources = built_in_sources()
            sources.register("jack", lambda _: self.host)
        # A session that follows begins at another tempo than its host.
        config = SessionConfig(
            folder / "i", folder / "r", folder / "b", bpm=120.0 if is_following else bpm
        )
        self.session = Session(config, sources)
        self.dispatcher = Dispatcher(
            self.session,
            position=self._position,
            to_engine=self._to_engine,
            to_playout=self._to_playout,
            on_quit=lambda: None,
            config=ControlConfig(),
            now_ns=self.clock,
            wall_ns=lambda: WALL_NS + self.clock.now_ns,
        )
        self.told: list[Message] = []
        engine, playout = self.dispatcher.engine_start(), self.dispatcher.playout_start()
        timeline = Timeline.from_json(engine["timeline"])
        self.music = MarkMusic(self.buffer, timeline, lead_seconds=1.0)
        self.output = TwinOutput(self.clock, card.rate_hz, 1, card.block_frames, card.ppm)
        start = {"output": "device", "hop_samples": HOP, "horizon_ms": 60.0, **playout}
        self.player = Player(
            self.buffer, PlayoutOptions.from_message(start), self.output, self.clock, self._post
        )
        self.requests = Requests(self.player, self._post, lambda name, id: None)
        self.music.begin(is_resume=False)
        self.dispatcher.from_engine(READY)
        self.dispatcher.from_playout({"type": "ready", "device": "card", "output": "device"})
        self._next_tick_ns = 0
        self.run(0.5)
        if is_following:
            self.send("/mgrt/clock/source", "jack")

    def change_card(self, card: Card) -> None:
        """Another sound card is chosen while the music plays."""
        self.card = card
        self.output = TwinOutput(self.clock, card.rate_hz, 1, card.block_frames, card.ppm)
        self.player.change_output(self.output)

    def send(self, address: str, *args: Any) -> None:
        """A command; its refusal is an error of the test."""
        replies: list[Message] = []
        self.dispatcher.local(address, *args, reply=replies.append)
        assert not [one for one in replies if one.address == "/fail"], replies

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_ns = self.clock.now_ns + round(seconds * SECOND_NS)
        while self.clock.now_ns < end_ns:
            wait_seconds = self.player.step()
            self.music.fill()
            if self.clock.now_ns >= self._next_tick_ns:
                self._next_tick_ns = self.clock.now_ns + round(TICK_SECONDS * SECOND_NS)
                self.dispatcher.tick()
            self.clock.advance(min(wait_seconds, 0.004))

    def run_to_beat(self, beat: float) -> None:
        """Until the host is at a beat."""
        ahead = beat - self.host.anchor_now.beat_at(self.clock.now_ns)
        self.run(max(0.0, ahead * 60 / self.host.anchor_now.bpm))

    def heard_from(self, first: int) -> NDArray[np.float32]:
        """What the card was given from its sample `first` on, [N]."""
        return self.output.heard[first:, 0]

    def first_heard_from(self, time_ns: int) -> int:
        """The number of the sample that is heard at a moment."""
        seconds = (time_ns - self.output.began_host_ns) * 1e-9
        return round(seconds * self.card.rate_hz * (1 + self.card.ppm * 1e-6))

    def errors_ms(self, samples: list[float], beats: int) -> Iterator[float]:
        """How late each sample is heard against the nearest of the host's lines."""
        host = self.host.anchor_now
        for sample in samples:
            seconds = sample / self.card.rate_hz / (1 + self.card.ppm * 1e-6)
            at_ns = self.output.began_host_ns + seconds * SECOND_NS
            apart = (host.beat_at(at_ns) + beats / 2) % beats - beats / 2
            yield apart * 60_000 / host.bpm

    def _position(self) -> Position:
        now = self.buffer.snapshot()
        return Position(
            RATE_HZ,
            HOP,
            now.reader_sample,
            now.commit_sample,
            now.stretch_start,
            now.written_end,
            round(now.dac_sample or 0),
            now.dac_time_ns or 0,
            is_moving=now.state.name in ("LIVE", "FALLBACK"),
        )

    def _to_engine(self, message: dict[str, Any]) -> None:
        answer = self.music.take(message)
        if answer is not None:
            self.dispatcher.from_engine(answer)

    def _to_playout(self, message: dict[str, Any]) -> None:
        self.requests.handle(message)

    def _post(
        self, message: dict[str, Any], payload: bytes = b"", *, is_missable: bool = False
    ) -> bool:
        self.dispatcher.from_playout(message, payload)
        return True
