"""MIDI through python-rtmidi over a real JACK server: our port, its devices, their going."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bridge.midi_backend import RtMidiBackend
from tests.bridge.jack_keyboard import Keyboard
from tests.bridge.jack_server import jack_server
from tests.bridge.midi_rig import NOTE_ON, Rig, play

pytestmark = pytest.mark.jack


@pytest.fixture(scope="module")
def running_server() -> Iterator[str]:
    with jack_server() as server:
        yield server.name


@pytest.fixture
def server(running_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("JACK_DEFAULT_SERVER", running_server)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    return running_server


async def hear(rig: Rig, keys: Keyboard, pitch: int, velocity: int) -> None:
    """Strike a key until it is heard: a starved server leaves cycles out, and the notes in them."""
    async with asyncio.timeout(60):
        while ("melody/note_on", pitch, velocity) not in rig.sink.commands:
            rig.sink.changed.clear()
            keys.play(NOTE_ON, pitch, velocity)
            with suppress(TimeoutError):
                await asyncio.wait_for(rig.sink.changed.wait(), 1.0)


def test_a_jack_keyboard_is_found_heard_and_missed(server: str) -> None:
    async def test() -> None:
        rig = Rig(RtMidiBackend("jack"), inputs=("keys",))
        rig.midi.start()
        await rig.opened("musicgen-rt")
        keys = Keyboard(server)
        await rig.opened("keys:out")
        await hear(rig, keys, 60, 100)
        keys.play(0xFE)
        keys.unplug()
        await rig.until(lambda: rig.sink.released == ["midi:keys:out"])
        assert rig.midi.port_names() == ("musicgen-rt",)
        rig.midi.stop()

    play(test)


def test_our_own_port_can_be_connected_to(server: str) -> None:
    async def test() -> None:
        rig = Rig(RtMidiBackend("jack"), inputs=("nothing of this name",))
        rig.midi.start()
        await rig.opened("musicgen-rt")
        keys = Keyboard(server)
        keys.connect("musicgen-rt:in")
        await hear(rig, keys, 61, 90)
        rig.midi.stop()
        keys.unplug()

    play(test)
