"""The Max for Live MIDI device: clips play the melody, Live leads tempo, transport and beats."""

from __future__ import annotations

import struct
from typing import Any

from client import client
from patch import Box, Patch

# Of a file: a container of chunks, each a name, a length and its bytes, all little-endian.
_MIDI_EFFECT = b"mmmm"


def device() -> Patch:
    """What Live shows is what has presentation coordinates."""
    patch = Patch(900, 620, openinpresentation=1, devicewidth=420.0)
    mgrt = patch.inside(20, 560, "mgrt", client())
    _notes(patch, mgrt)
    _song(patch, mgrt)
    _prompts(patch, mgrt)
    connected = patch.face("live.toggle", 300, 590, 15, 15, **_shown(395, 8, 15, 15))
    patch.cord(mgrt[2], connected)
    patch.cord(mgrt[1], patch.object(160, 590, "print mgrt-answer"))
    return patch


def container(patch: Patch) -> bytes:
    """The bytes of the .amxd file: the patch's JSON behind a short header."""
    body = patch.text().encode() + b"\0"
    chunks = [b"ampf" + struct.pack("<I", 4) + _MIDI_EFFECT]
    chunks += [b"meta" + struct.pack("<II", 4, 0)]
    chunks += [b"ptch" + struct.pack("<I", len(body)) + body]
    return b"".join(chunks)


def _notes(patch: Patch, mgrt: Box) -> None:
    """MIDI passes through; its notes are the melody while follow is on."""
    midi_in, midi_out = patch.object(20, 20, "midiin"), patch.object(20, 80, "midiout")
    parsed = patch.object(100, 50, "midiparse")
    patch.cord(midi_in, midi_out, parsed)
    patch.cord(parsed, mgrt[1])
    follow = _toggle(patch, 100, 90, "Follow notes", 8)
    mode = patch.object(100, 120, "sel 1 0")
    patch.chain(follow, mode)
    patch.cord(mode[0], _message(patch, 100, 150, "/mgrt/melody/mode follow", mgrt))
    patch.cord(mode[1], _message(patch, 280, 150, "/mgrt/melody/mode off", mgrt))


def _song(patch: Patch, mgrt: Box) -> None:
    """Live's tempo, transport and place in the song."""
    ready = patch.object(480, 20, "live.thisdevice")
    path_text, path = patch.message(480, 50, "path live_set"), patch.object(480, 80, "live.path")
    patch.chain(ready, path_text, path)
    _observe(patch, path, 480, "tempo", mgrt)
    playing = patch.object(620, 200, "sel 1 0")
    patch.cord(_observed(patch, path, 620, "is_playing"), playing)
    patch.cord(playing[0], _message(patch, 620, 230, "/mgrt/transport/play", mgrt))
    patch.cord(playing[1], _message(patch, 620, 260, "/mgrt/transport/stop", mgrt))
    lead = _toggle(patch, 760, 90, "Live leads beats", 28)
    source, beats = patch.object(760, 300, "sel 1 0"), patch.object(760, 200, "gate")
    both = patch.object(760, 120, "t i i")
    patch.chain(lead, both, source)
    patch.cord(both[1], beats)
    patch.cord(source[0], _message(patch, 620, 330, "/mgrt/clock/source osc", mgrt))
    patch.cord(source[1], _message(patch, 620, 360, "/mgrt/clock/source internal", mgrt))
    patch.cord(_observed(patch, path, 760, "current_song_time"), beats[1])
    patch.chain(beats, patch.object(760, 230, "prepend /mgrt/clock/beat"), mgrt)


def _observed(patch: Patch, path: Box, x: int, name: str) -> Box:
    """An object that gives a property of the song whenever it changes."""
    begin = patch.object(x, 110, "t b l")
    asked, observer = (
        patch.message(x, 140, f"property {name}"),
        patch.object(x, 170, "live.observer"),
    )
    patch.cord(path[1], begin)
    patch.cord(begin[1], observer[1])
    patch.chain(begin, asked, observer)
    return observer


def _observe(patch: Patch, path: Box, x: int, name: str, mgrt: Box) -> None:
    sent = patch.object(x, 200, f"prepend /mgrt/clock/{name}")
    patch.chain(_observed(patch, path, x, name), sent, mgrt)


def _prompts(patch: Patch, mgrt: Box) -> None:
    """Four texts, and their weights as parameters that Live can automate."""
    for slot in range(4):
        y = 200 + 80 * slot
        shown = _shown(8, 50 + 28 * slot, 300, 24)
        text = patch.face("textedit", 20, y, 240, 24, keymode=1, **shown)
        words, joined = (
            patch.object(20, y + 28, "route text"),
            patch.object(110, y + 28, "tosymbol"),
        )
        sent = patch.object(190, y + 28, f"prepend /mgrt/prompt/set {slot}")
        patch.chain(text, words, joined, sent, mgrt)
        dial = _dial(patch, 280, y, f"Weight {slot + 1}", slot)
        patch.chain(dial, patch.object(330, y, f"prepend /mgrt/prompt/weight {slot}"), mgrt)


def _message(patch: Patch, x: int, y: int, text: str, mgrt: Box) -> Box:
    box = patch.message(x, y, text)
    patch.cord(box, mgrt)
    return box


def _shown(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    rect = [float(x), float(y), float(width), float(height)]
    return {"presentation": 1, "presentation_rect": rect}


def _parameter(name: str, kind: int, **more: Any) -> dict[str, Any]:
    """The attributes that make a box a parameter of the device; kinds: 0 float, 2 choice."""
    values = {"parameter_longname": name, "parameter_shortname": name, "parameter_type": kind}
    return {
        "parameter_enable": 1,
        "varname": name,
        "saved_attribute_attributes": {"valueof": {**values, **more}},
    }


def _toggle(patch: Patch, x: int, y: int, name: str, shown_y: int) -> Box:
    patch.comment(x + 20, y, name)
    parameter = _parameter(name, 2, parameter_enum=["off", "on"], parameter_mmax=1)
    return patch.face("live.toggle", x, y, 15, 15, **parameter, **_shown(8, shown_y, 15, 15))


def _dial(patch: Patch, x: int, y: int, name: str, slot: int) -> Box:
    parameter = _parameter(name, 0, parameter_mmin=0.0, parameter_mmax=1.0, parameter_unitstyle=1)
    shown = _shown(316 + 26 * slot, 40, 26, 48)
    return patch.face("live.dial", x, y, 44, 48, **parameter, **shown)
