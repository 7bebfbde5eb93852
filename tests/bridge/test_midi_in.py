"""MIDI in: notes, controllers, learning, devices that come and go, and no note that sticks.

The devices are real objects in this process; `test_midi_jack.py` has those of a real system.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from bridge.midi_backend import MidiBackend
from bridge.midi_controllers import Controllers, control_of, find_control
from bridge.midi_in import ACTIVE_SENSING_SECONDS, MAX_WAITING, MidiIn
from bridge.protocol import COMMANDS
from bridge.setting import CcBinding
from bridge.settings import MidiConfig
from musicgen_rt.errors import ParameterError, UnsupportedError
from tests.bridge.midi_rig import ACTIVE_SENSING, CONTROL, NOTE_OFF, NOTE_ON, Plugs, Rig, Sink, play


def test_notes_become_melody_commands() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys", "musicgen-rt")
        plugs.play("Keys", NOTE_ON, 60, 100)
        plugs.play("Keys", NOTE_OFF, 60, 64)
        plugs.play("musicgen-rt", NOTE_ON, 62, 1)
        plugs.play("musicgen-rt", NOTE_ON, 62, 0)  # velocity 0 is a note off
        await rig.until(lambda: len(rig.sink.commands) == 4)
        assert rig.sink.commands == [
            ("melody/note_on", 60, 100),
            ("melody/note_off", 60),
            ("melody/note_on", 62, 1),
            ("melody/note_off", 62),
        ]
        rig.midi.stop()

    play(test)


def test_one_pitch_held_on_two_channels_sounds_until_both_let_go() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        for data in ((NOTE_ON, 60, 9), (NOTE_ON + 1, 60, 9), (NOTE_OFF, 60, 0)):
            plugs.play("Keys", *data)
        plugs.play("Keys", NOTE_OFF + 1, 60, 0)
        await rig.until(lambda: len(rig.sink.commands) == 3)
        assert rig.sink.commands[-1] == ("melody/note_off", 60)
        rig.midi.stop()

    play(test)


def test_only_the_wanted_devices_and_channel_are_heard() -> None:
    async def test() -> None:
        plugs = Plugs("Keystation 49", "Drum pad")
        rig = Rig(plugs, inputs=("keystation",), channel=2, virtual_port="")
        rig.midi.start()
        await rig.opened("Keystation 49")
        assert rig.midi.port_names() == ("Keystation 49",)
        plugs.play("Keystation 49", NOTE_ON, 60, 9)  # channel 1
        plugs.play("Keystation 49", NOTE_ON + 1, 61, 9)  # channel 2
        await rig.until(lambda: bool(rig.sink.commands))
        assert rig.sink.commands == [("melody/note_on", 61, 9)]
        rig.midi.stop()

    play(test)


def test_of_a_turned_knob_the_last_value_counts() -> None:
    async def test() -> None:
        plugs = Plugs("Knobs")
        rig = Rig(plugs, cc=(CcBinding(74, "cfg", 1, 5), CcBinding(1, "top_k", 0, 127)))
        rig.midi.start()
        await rig.opened("Knobs")
        for value in range(128):
            plugs.play("Knobs", CONTROL, 74, value)
        plugs.play("Knobs", CONTROL, 1, 64)
        plugs.play("Knobs", CONTROL, 2, 64)  # bound to nothing
        await rig.until(lambda: ("param/set/top_k", 64) in rig.sink.commands)
        cfg = [command for command in rig.sink.commands if command[0] == "param/set/cfg"]
        assert cfg[-1] == ("param/set/cfg", 5.0)
        assert len(cfg) < 20
        rig.midi.stop()

    play(test)


def test_a_controller_is_learned_and_forgotten() -> None:
    async def test() -> None:
        plugs = Plugs("Knobs")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Knobs")
        rig.midi.learn("prompt/weight/2")
        plugs.play("Knobs", CONTROL, 21, 127)
        await rig.until(lambda: bool(rig.sink.commands))
        assert rig.sink.commands == [("prompt/weight", 2, 1.0)]
        rig.midi.forget("prompt/weight/2")
        plugs.play("Knobs", CONTROL, 21, 0)
        plugs.play("Knobs", NOTE_ON, 60, 1)  # after it in the same order
        await rig.until(lambda: len(rig.sink.commands) == 2)
        assert rig.sink.commands[1][0] == "melody/note_on"
        rig.midi.stop()

    play(test)


def test_a_device_that_comes_later_is_opened_and_one_that_is_busy_does_not_hinder() -> None:
    async def test() -> None:
        plugs = Plugs("Busy")
        plugs.broken.add("Busy")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("musicgen-rt")
        plugs.plug("Keys")
        await rig.opened("Keys")
        assert "Busy" not in rig.midi.port_names()
        rig.midi.stop()
        assert not plugs.is_open("Keys")

    play(test)


def test_all_notes_off_reset_and_panic_let_go() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs, virtual_port="")
        rig.midi.start()
        await rig.opened("Keys")
        for data in ((CONTROL, 123, 0), (CONTROL, 120, 0), (0xFF,)):
            plugs.play("Keys", *data)
        await rig.until(lambda: rig.sink.released == ["midi:Keys"] * 3)
        rig.midi.release_all()
        assert rig.sink.released == ["midi:Keys"] * 4
        rig.midi.stop()

    play(test)


@pytest.mark.parametrize("data", [(), (0x90,), (0x90, 60), (0xF0, 1, 2, 0xF7), (0xE0, 0, 64), (7,)])
def test_odd_messages_do_nothing(data: tuple[int, ...]) -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        plugs.play("Keys", *data)
        plugs.play("Keys", NOTE_ON, 1, 1)
        await rig.until(lambda: bool(rig.sink.commands))
        assert rig.sink.commands == [("melody/note_on", 1, 1)]
        rig.midi.stop()

    play(test)


def test_a_flood_is_bounded() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        for _ in range(3 * MAX_WAITING):  # while the event loop has no turn
            plugs.play("Keys", NOTE_ON, 60, 1)
        assert rig.midi.dropped == 2 * MAX_WAITING
        await rig.until(lambda: len(rig.sink.commands) == MAX_WAITING)
        plugs.play("Keys", NOTE_ON, 61, 1)
        await rig.until(lambda: rig.sink.commands[-1] == ("melody/note_on", 61, 1))
        rig.midi.stop()

    play(test)


def test_without_midi_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def no_backend() -> MidiBackend:
        raise UnsupportedError("no MIDI here")

    async def test() -> None:
        midi = MidiIn(MidiConfig(), Sink(), Controllers(), make_backend=no_backend)
        midi.start()
        async with asyncio.timeout(20):
            while "no MIDI here" not in caplog.text:
                await asyncio.sleep(0.005)
        assert midi.port_names() == ()
        midi.stop()

    play(test)


def test_active_sensing_holds_while_it_comes() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        for _ in range(10):
            plugs.play("Keys", ACTIVE_SENSING)
            await asyncio.sleep(0)
            rig.now += ACTIVE_SENSING_SECONDS * 0.9
            rig.midi.tick()
        assert rig.sink.released == []
        rig.midi.stop()

    play(test)


@pytest.mark.parametrize(
    ("target", "address", "leading"),
    [
        ("cfg", "/mgrt/param/set/cfg", ()),
        ("param/top_p", "/mgrt/param/set/top_p", ()),
        ("prompt/weight/7", "/mgrt/prompt/weight", (7,)),
        ("prompt/weight 0", "/mgrt/prompt/weight", (0,)),
        ("audio/gain_db", "/mgrt/audio/gain_db", ()),
        ("/mgrt/clock/tempo", "/mgrt/clock/tempo", ()),
    ],
)
def test_controls_are_found_by_their_names(
    target: str, address: str, leading: tuple[int, ...]
) -> None:
    control = find_control(target)
    entry = next(one for one in COMMANDS if one.address == address)
    for value in (0, 64, 127):
        command = control.command(value)
        assert command[:-1] == (address, *leading)
        entry.call(command[1:])  # the table accepts the whole of the sweep


@pytest.mark.parametrize("target", ["", "bpm", "gen/panic", "prompt/weight", "prompt/weight/8"])
def test_what_no_controller_can_move_is_refused(target: str) -> None:
    with pytest.raises(ParameterError):
        find_control(target)


def test_a_range_beyond_the_tables_is_refused() -> None:
    with pytest.raises(ParameterError, match="controller 1: 11 for temperature"):
        control_of(CcBinding(1, "temperature", 0, 11))


def test_the_sustain_pedal_holds_what_its_channel_lets_go() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        for data in (
            (NOTE_ON, 60, 9),
            (CONTROL, 64, 127),
            (NOTE_OFF, 60, 0),
            (NOTE_ON, 62, 9),
            (NOTE_OFF, 62, 0),
            (NOTE_ON, 62, 9),  # struck again, and held by its key
            (CONTROL, 64, 0),
        ):
            plugs.play("Keys", *data)
        await rig.until(lambda: ("melody/note_off", 60) in rig.sink.commands)
        names = [command[:2] for command in rig.sink.commands]
        assert names.index(("melody/note_off", 60)) == len(names) - 1, "not before the pedal is up"
        assert ("melody/note_off", 62) not in names
        plugs.play("Keys", NOTE_OFF, 62, 0)
        await rig.until(lambda: ("melody/note_off", 62) in rig.sink.commands)
        rig.midi.stop()

    play(test)


def test_a_pedal_that_becomes_a_knob_while_it_is_down_holds_nothing_any_more() -> None:
    async def test() -> None:
        plugs = Plugs("Keys")
        rig = Rig(plugs)
        rig.midi.start()
        await rig.opened("Keys")
        for data in ((NOTE_ON, 60, 9), (CONTROL, 64, 127), (NOTE_OFF, 60, 0)):
            plugs.play("Keys", *data)
        await rig.until(lambda: len(rig.sink.commands) == 1)
        rig.midi.learn("cfg")
        # It bounces, as a pedal does; then it goes up, and a key is played.
        for data in ((CONTROL, 64, 127), (CONTROL, 64, 0), (NOTE_ON, 62, 9), (NOTE_OFF, 62, 0)):
            plugs.play("Keys", *data)
        await rig.until(lambda: ("melody/note_off", 62) in rig.sink.commands)
        assert ("melody/note_off", 60) in rig.sink.commands
        rig.midi.stop()

    play(test)
