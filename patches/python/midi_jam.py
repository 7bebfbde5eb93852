"""Let the daemon follow the notes of a MIDI file in 4/4, on its own beat, over OSC.

    python midi_jam.py FILE.mid [--port 9120] [--times N]

Every note leaves two beats early in a bundle with a time tag, so neither the network nor this
program has to be in time. The tempo is the daemon's; the file gives the beats.
"""

from __future__ import annotations

import argparse
import math
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import mido
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

AHEAD_BEATS = 2
BAR_BEATS = 4
SILENCE_SECONDS = 3.0
ABSENT = "no beats: start the daemon with musicgen-rt jam, or give its --port"


class Note(NamedTuple):
    """A note that begins or, with velocity 0, ends, in beats from the file's start."""

    beat: float
    pitch: int
    velocity: int


def notes_of(path: str) -> list[Note]:
    """The notes of a MIDI file in order of time."""
    file = mido.MidiFile(path)
    notes, ticks = [], 0
    for message in mido.merge_tracks(file.tracks):
        ticks += message.time
        if message.type in ("note_on", "note_off"):
            velocity = message.velocity if message.type == "note_on" else 0
            notes.append(Note(ticks / file.ticks_per_beat, message.note, velocity))
    return notes


def message(address: str, *values: Any) -> OscMessage:
    """An OSC message."""
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build()


def bundle(due_seconds: float, notes: Iterable[Note]) -> bytes:
    """Notes of one moment (in seconds since 1970) as an OSC bundle."""
    # It takes fractions of a second, whatever its annotation says.
    builder = OscBundleBuilder(due_seconds)  # type: ignore[arg-type]
    for note in notes:
        builder.add_content(message("/mgrt/melody/note_on", note.pitch, note.velocity))
    return builder.build().dgram


class Jam:
    """One file on one daemon."""

    def __init__(self, notes: list[Note], host: str, port: int) -> None:
        # The next bar line behind the beginning of the last note is where it begins again.
        last = max(note.beat for note in notes if note.velocity)
        self._length_beats = BAR_BEATS * (math.floor(last / BAR_BEATS) + 1)
        self._notes = [note._replace(beat=note.beat % self._length_beats) for note in notes]
        self._target = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(SILENCE_SECONDS)
        self._beats: int | None = None  # heard since the bar line on which it began

    def run(self, times: int) -> None:
        """Play the file some times, each bar when the daemon plays one."""
        self._subscribe()
        while self._beats is None or self._beats + AHEAD_BEATS < times * self._length_beats - 1:
            try:
                heard = OscMessage(self._socket.recv(65536))
            except TimeoutError:
                print(ABSENT, flush=True)
                self._beats = None
                self._subscribe()
                continue
            self._hear(heard.address, heard.params)
        self._say("/mgrt/notify", 0)

    def _hear(self, address: str, values: list[Any]) -> None:
        if address in ("/fail", "/mgrt/late"):
            print(address, *values, flush=True)
        if address != "/mgrt/beat":
            return
        _, beat, bpm = values
        if self._beats is not None:
            self._beats += 1
        elif beat == 1:
            self._beats = -BAR_BEATS  # the next bar is the first that can be sent whole
        if self._beats is not None and self._beats + AHEAD_BEATS >= 0:
            self._send_beat(self._beats + AHEAD_BEATS, time.time(), 60 / bpm)
        self._say("/mgrt/sync", 0)  # keeps the subscription

    def _send_beat(self, beat: int, now_seconds: float, beat_seconds: float) -> None:
        """Send the notes of the beat that begins in AHEAD_BEATS."""
        first = beat % self._length_beats
        due = [note for note in self._notes if first <= note.beat < first + 1]
        for moment in sorted({note.beat for note in due}):
            seconds = now_seconds + (moment - first + AHEAD_BEATS) * beat_seconds
            # A note that ends makes room for one that begins.
            at_once = sorted(n for n in due if n.beat == moment and not n.velocity)
            at_once += [n for n in due if n.beat == moment and n.velocity]
            self._socket.sendto(bundle(seconds, at_once), self._target)
        print(f"beat {first + 1} of {self._length_beats}: {len(due)} notes", flush=True)

    def _subscribe(self) -> None:
        self._say("/mgrt/notify", 1)
        self._say("/mgrt/melody/mode", "follow")

    def _say(self, address: str, *values: Any) -> None:
        self._socket.sendto(message(address, *values).dgram, self._target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Let the daemon follow a MIDI file.")
    parser.add_argument("file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9120)
    parser.add_argument("--times", type=int, default=4, help="how often to play it (default 4)")
    args = parser.parse_args()
    try:
        notes = notes_of(args.file)
    except (OSError, ValueError, EOFError) as error:
        sys.exit(f"{args.file} cannot be read as MIDI: {error}")
    if not any(note.velocity for note in notes):
        sys.exit(f"{args.file} has no notes: take another file")
    Jam(notes, args.host, args.port).run(args.times)


if __name__ == "__main__":
    main()
