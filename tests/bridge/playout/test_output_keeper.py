"""Which device plays: by the start's wish, by requests, and when one is gone or will not play.

The music's clock is virtual; the searches' threads and their stand-in for PortAudio are real ones.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bridge.playout import device_hunter
from bridge.playout.options import PlayoutOptions
from bridge.playout.output_keeper import OutputKeeper
from bridge.playout.player import Player
from bridge.playout.portaudio_turn import PORTAUDIO_TURN
from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.timeline import Timeline
from tests.bridge.playout.portaudio_twin import PortAudioTwin
from tests.bridge.playout.twin import BPM, HOP_SAMPLES, RATE_HZ, TwinEngine, VirtualClock, sine

DEADLINE_SECONDS = 30.0


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> PortAudioTwin:
    """Two cards are there."""
    portaudio = PortAudioTwin("Scarlett 2i2", "Built-in")
    for name, module in portaudio.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(device_hunter, "fresh_devices", portaudio.fresh_devices)
    monkeypatch.setattr(device_hunter, "LOOK_SECONDS", 0.001)
    return portaudio


@pytest.fixture
def rig(portaudio: PortAudioTwin) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def start(**options: Any) -> Rig:
        rigs.append(Rig(**options))
        return rigs[-1]

    yield start
    for one in rigs:
        one.close()
    PORTAUDIO_TURN.wait_until_closed(DEADLINE_SECONDS)
    # Whatever happened: nobody was in PortAudio beside another, no stream ended under its owner.
    assert (portaudio.intruders, portaudio.torn) == (0, 0)


class Rig:
    """A player and its keeper."""

    def __init__(self, **options: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self.clock = VirtualClock()
        self._buffer = TimelineBuffer.create(RATE_HZ, 2, 40 * RATE_HZ)
        self._engine = TwinEngine(self._buffer, sine(220))
        start = {"timeline": Timeline.start(BPM).to_json(), "hop_samples": HOP_SAMPLES}
        checked = PlayoutOptions.from_message(start | options)
        self.keeper = OutputKeeper(checked, self.clock, self._post)
        self.player = Player(self._buffer, checked, self.keeper.output, self.clock, self._post)
        self.keeper.announce()

    def step(self) -> None:
        """One turn of the pump."""
        self._engine.run()
        self.keeper.step(self.player)
        self.clock.advance(self.player.step())

    def until(self, kind: str, **values: Any) -> dict[str, Any]:
        """Step until such a message was sent since the last one asked for; it."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            while self.messages:
                message = self.messages.pop(0)
                if message["type"] == kind and values.items() <= message.items():
                    return message
            self.step()
        raise AssertionError(f"no {kind} with {values}")

    def close(self) -> None:
        if self.keeper._hunter is not None:
            self.keeper._hunter.stop()
            self.keeper._hunter._thread.join(DEADLINE_SECONDS)
        self.player.close()
        self._buffer.close()

    def _post(
        self, message: dict[str, Any], payload: bytes = b"", *, is_missable: bool = False
    ) -> bool:
        self.messages.append(message)
        return True


Start = Callable[..., Rig]


def test_a_card_that_opens_but_does_not_start_is_hunted_beside_the_music(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    portaudio.refused.add("Scarlett 2i2")
    r = rig(device_name="Scarlett")
    ready = r.until("ready")
    assert (ready["output"], ready["wish"]["device_name"]) == ("null", "Scarlett")
    assert "Scarlett 2i2 cannot be started: Unanticipated host error" in ready["reason"]
    before = r.until("heartbeat", state="live")
    after = r.until("heartbeat")
    assert after["reader_sample"] - before["reader_sample"] == pytest.approx(3200, abs=600)
    portaudio.wait_for_looks(3)
    portaudio.refused.clear()
    ready = r.until("ready")
    assert (ready["output"], ready["device"], ready["reason"]) == ("device", "Scarlett 2i2", None)
    assert all(stream.is_closed for stream in portaudio.streams[:-1])


def test_a_request_for_a_card_that_does_not_start_fails_and_the_music_stays_where_it_is(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    portaudio.refused.add("Built-in")
    r = rig(device_name="Scarlett")
    assert r.until("ready")["output"] == "device"
    r.keeper.ask("Built-in", 7)
    assert "Built-in cannot be started" in r.until("failed", id=7)["reason"]
    assert not [m for m in r.messages if m["type"] in ("ready", "applied")]
    assert [s.name for s in portaudio.streams if not s.is_closed] == ["Scarlett 2i2"]


def test_a_request_is_answered_when_its_card_runs_and_is_the_wish_from_then_on(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    r = rig(device_name="Scarlett")
    assert r.until("ready")["wish"]["device_name"] == "Scarlett"
    r.keeper.ask("built", 7)
    ready = r.until("ready")
    assert (ready["device"], ready["wish"]["device_name"]) == ("Built-in", "built")
    assert portaudio.streams[-1].active
    r.until("applied", id=7)
    r.keeper.ask(None, 8)
    ready = r.until("ready")
    assert (ready["device"], ready["wish"]["device_name"]) == ("Scarlett 2i2", None)


def test_a_device_that_is_chosen_while_nobody_should_hear_is_the_output_from_then_on(
    rig: Start,
) -> None:
    r = rig(output="null")
    assert r.until("ready")["wish"] == {"device_name": None}
    r.keeper.ask("built", 7)
    assert r.until("ready")["wish"] == {"device_name": "built", "output": "device"}


def test_while_a_lost_card_is_hunted_a_misspelt_request_changes_nothing(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    portaudio.known = portaudio.plugged = ["Built-in"]
    r = rig(device_name="Scarlett")
    assert r.until("ready")["output"] == "null"
    r.keeper.ask("Scralett", 7)
    reason = r.until("failed", id=7)["reason"]
    assert "no device is named 'Scralett': there are 'Built-in'" in reason
    assert not [m for m in r.messages if m["type"] == "ready"]
    portaudio.plugged = ["Built-in", "Scarlett 2i2"]
    ready = r.until("ready", output="device")
    assert (ready["device"], ready["wish"]["device_name"]) == ("Scarlett 2i2", "Scarlett")


def test_while_playing_to_nobody_a_request_finds_a_card_that_was_just_plugged_in(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    portaudio.known = []
    r = rig(output="null")
    assert (r.until("ready")["output"], portaudio.starts) == ("null", [])
    r.keeper.ask("Scralett", 6)
    r.until("failed", id=6)
    r.keeper.ask("Scarlett", 7)
    assert r.until("ready")["wish"]["device_name"] == "Scarlett"
    r.until("applied", id=7)


def test_a_request_whose_place_is_taken_is_answered(rig: Start, portaudio: PortAudioTwin) -> None:
    """And what it may have opened is closed."""
    r = rig(device_name="Scarlett")
    r.keeper.ask("Built-in", 7)
    r.keeper.ask("Scarlett", 8)
    assert "took its place" in r.until("failed", id=7)["reason"]
    r.until("applied", id=8)
    for _ in range(100):
        r.step()
    assert not [m for m in r.messages if m["type"] in ("ready", "applied", "failed")]


def test_a_card_plugged_in_while_another_plays_is_opened_on_request(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    r = rig(device_name="Scarlett")
    r.until("heartbeat", state="live")
    portaudio.plugged.append("Focusrite")
    portaudio.linger_seconds = 0.02
    first = portaudio.streams[0]
    r.keeper.ask("Focusrite", 7)
    ready = r.until("ready")
    assert (ready["output"], ready["wish"]["device_name"]) == ("null", "Scarlett")
    assert "'Focusrite' is new" in ready["reason"]
    assert first.ring is not None
    # It has faded where the music went on without it.
    assert np.abs(first.ring.samples[-1][-2:]).max() < 0.01
    ready = r.until("ready")
    assert (first.is_closed, first.cut_off_frames) == (True, 0)
    assert (ready["device"], ready["wish"]["device_name"]) == ("Focusrite", "Focusrite")
    r.until("applied", id=7)


def test_a_new_card_that_does_not_start_leaves_the_music_on_the_old_one(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    r = rig(device_name="Scarlett")
    portaudio.plugged.append("Focusrite")
    portaudio.refused.add("Focusrite")
    r.keeper.ask("Focusrite", 7)
    assert "Focusrite cannot be started" in r.until("failed", id=7)["reason"]
    ready = r.until("ready", output="device")
    assert (ready["device"], ready["wish"]["device_name"]) == ("Scarlett 2i2", "Scarlett")


def test_a_name_that_no_card_has_leaves_the_one_that_plays_alone(
    rig: Start, portaudio: PortAudioTwin
) -> None:
    r = rig(device_name="Scarlett")
    portaudio.plugged.append("Focusrite")
    r.until("ready")
    r.keeper.ask("Focusrita", 7)
    reason = r.until("failed", id=7)["reason"]
    assert "no device is named 'Focusrita'" in reason and "'Focusrite'" in reason
    assert not [m for m in r.messages if m["type"] == "ready"]
    assert (len(portaudio.streams), portaudio.streams[0].is_closed) == (1, False)
