"""F36: a note that nobody lets go of is let go: on disconnect, silence of its device, panic."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.midi_in import ACTIVE_SENSING_SECONDS, MAX_WAITING
from tests.bridge.midi_rig import ACTIVE_SENSING, CONTROL, NOTE_OFF, NOTE_ON, Plugs, Rig, play


def pulled_out(rig: Rig, plugs: Plugs) -> None:
    plugs.pull("Keys")


def falls_silent(rig: Rig, plugs: Plugs) -> None:
    rig.now += ACTIVE_SENSING_SECONDS + 0.001
    rig.midi.tick()


def all_notes_off(rig: Rig, plugs: Plugs) -> None:
    plugs.play("Keys", CONTROL, 123, 0)


def is_drowned_out(rig: Rig, plugs: Plugs) -> None:
    """Its note off is one of the messages that are dropped."""
    for _ in range(MAX_WAITING):
        plugs.play("Keys", CONTROL, 1, 1)
    plugs.play("Keys", NOTE_OFF, 60, 0)


def panic(rig: Rig, plugs: Plugs) -> None:
    rig.midi.release_all()


def system_goes_down(rig: Rig, plugs: Plugs) -> None:
    plugs.is_down = True


@pytest.mark.parametrize(
    "cause",
    [pulled_out, falls_silent, all_notes_off, is_drowned_out, panic, system_goes_down],
)
def test_f36_a_held_note_is_let_go(cause: Callable[[Rig, Plugs], None]) -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs, virtual_port="")
        rig.midi.start()
        await rig.opened("Keys")
        plugs.play("Keys", ACTIVE_SENSING)
        plugs.play("Keys", NOTE_ON, 60, 100)
        await rig.until(lambda: ("melody/note_on", 60, 100) in rig.sink.commands)
        assert rig.sink.released == []
        cause(rig, plugs)
        await rig.until(lambda: rig.sink.released == ["midi:Keys"])
        rig.midi.stop()

    play(test)
