"""F37: a MIDI device that is pulled out is looked for, and heard again when it is back."""

from __future__ import annotations

from tests.bridge.midi_rig import NOTE_ON, Plugs, Rig, play


def test_f37_a_device_that_comes_back_plays_again() -> None:
    async def test() -> None:
        plugs = Plugs("Keys", "Pads")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys", "Pads")
        plugs.pull("Keys")
        await rig.until(lambda: "Keys" not in rig.midi.port_names())
        plugs.play("Pads", NOTE_ON, 61, 1)  # the others play on
        await rig.until(lambda: ("melody/note_on", 61, 1) in rig.sink.commands)
        plugs.plug("Keys")
        await rig.opened("Keys")
        plugs.play("Keys", NOTE_ON, 60, 1)
        await rig.until(lambda: ("melody/note_on", 60, 1) in rig.sink.commands)
        rig.midi.stop()

    play(test)


def test_f37_the_systems_midi_may_go_and_come_back() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        plugs.is_down = True
        await rig.until(lambda: "Keys" not in rig.midi.port_names())
        plugs.is_down = False
        await rig.opened("Keys")
        rig.midi.stop()

    play(test)
