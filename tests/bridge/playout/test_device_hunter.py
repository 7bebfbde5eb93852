"""The search for a device: how often it looks, and that only one thread is in PortAudio."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bridge.playout import device_hunter
from bridge.playout.device_hunter import DeviceHunter, Found, Missing
from bridge.playout.device_list import DeviceWish
from bridge.playout.output import DeviceError
from bridge.playout.portaudio_turn import PORTAUDIO_TURN, PortAudioTurn
from tests.bridge.playout.portaudio_twin import PortAudioTwin

DEADLINE_SECONDS = 30.0
SCARLETT = DeviceWish("Scarlett")


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> Iterator[PortAudioTwin]:
    portaudio = PortAudioTwin("Scarlett")
    for name, module in portaudio.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    yield portaudio
    PORTAUDIO_TURN.wait_until_closed(DEADLINE_SECONDS)
    assert (portaudio.intruders, portaudio.torn) == (0, 0)


class CountedHunter(DeviceHunter):
    """Does not wait; notes for how long it would have, and ends after so many looks."""

    pauses_seconds: list[float]

    def _pause(self, seconds: float) -> bool:
        self.pauses_seconds.append(seconds)
        return len(self.pauses_seconds) == 8


@pytest.mark.parametrize(
    ("is_plugged", "pauses_seconds"),
    [(True, [0.5, 1, 2, 4, 8, 8, 8, 8]), (False, [0.25] * 8)],
)
def test_a_card_that_will_not_play_is_tried_ever_less_often_and_one_that_is_gone_is_not(
    portaudio: PortAudioTwin, is_plugged: bool, pauses_seconds: list[float]
) -> None:
    portaudio.refused.add("Scarlett")
    if not is_plugged:
        portaudio.plugged = portaudio.known = ["Built-in"]
    CountedHunter.pauses_seconds = []
    hunter = CountedHunter(SCARLETT)
    hunter._thread.join(DEADLINE_SECONDS)
    assert hunter.pauses_seconds == pauses_seconds
    assert hunter.results.qsize() == 1  # a reason is told once
    assert len(portaudio.starts) == (8 if is_plugged else 0)


def test_pauses_do_not_grow_for_ever() -> None:
    assert device_hunter.pause_seconds(10**6) == 8


def test_a_hunt_goes_on_where_portaudio_did_not_begin_again(
    portaudio: PortAudioTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_hunter, "LOOK_SECONDS", 0.001)
    portaudio.known = None
    hunter = DeviceHunter(SCARLETT)
    missing = hunter.results.get(timeout=DEADLINE_SECONDS)
    assert isinstance(missing, Missing) and "not initialized" in missing.reason
    found = hunter.results.get(timeout=DEADLINE_SECONDS)
    assert isinstance(found, Found)
    found.output.close()


def test_two_searches_are_never_in_portaudio_at_once(
    portaudio: PortAudioTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hunt that was stopped may still be in there when the next search begins."""
    monkeypatch.setattr(device_hunter, "LOOK_SECONDS", 0.001)
    portaudio.plugged = portaudio.known = ["Built-in"]
    portaudio.linger_seconds = 0.05
    hunter = DeviceHunter(SCARLETT)
    portaudio.wait_until_inside()
    search = DeviceHunter(DeviceWish("Elsewhere"), id=1)
    hunter.stop()
    assert isinstance(search.results.get(timeout=DEADLINE_SECONDS), Missing)
    hunter._thread.join(DEADLINE_SECONDS)


def test_what_a_stopped_search_has_found_is_closed(portaudio: PortAudioTwin) -> None:
    hunter = DeviceHunter(SCARLETT, id=1)
    hunter._thread.join(DEADLINE_SECONDS)
    hunter.stop()
    PORTAUDIO_TURN.wait_until_closed(DEADLINE_SECONDS)
    assert portaudio.streams[0].is_closed
    assert hunter.results.empty()


def test_whoever_waits_for_a_driver_that_hangs_gives_up() -> None:
    turn = PortAudioTurn()
    with turn.taken(), pytest.raises(DeviceError, match="do not answer"), turn.taken(0.001):
        pass
    turn.add_stream()
    with (
        pytest.raises(DeviceError, match="do not answer"),
        turn.taken(0.001, is_without_streams=True),
    ):
        pass
    turn.remove_stream()
    with turn.taken(0.001, is_without_streams=True):
        pass
