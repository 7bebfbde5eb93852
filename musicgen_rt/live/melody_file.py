"""Melodies out of files: MIDI note by note, anything else as audio."""

from __future__ import annotations

import io
import re
import struct
from collections import defaultdict, deque
from pathlib import Path

import mido
from mido.midifiles.meta import KeySignatureError

from musicgen_rt.audio_input import read_audio
from musicgen_rt.errors import AudioFileError
from musicgen_rt.live.melody import (
    LOOP_SECONDS_RANGE,
    MIN_NOTE_SECONDS,
    AudioMelody,
    Melody,
    NoteMelody,
    melody_from_notes,
)
from musicgen_rt.model.chroma import REST_CLASS, ChromaExtractor, RestPolicy
from musicgen_rt.model.notes import Line, Note

MIDI_SUFFIXES = (".mid", ".midi")
MAX_SECONDS = 3600.0
MAX_MIDI_BYTES = 4 * 2**20
MAX_MIDI_NOTES = 50_000

_DRUM_CHANNEL = 9  # channel 10 as musicians count, in General MIDI
# Bytes that say "this number goes on" have their top bit set. The standard allows four; thousands
# in a row (which text in UTF-8 does not reach) would keep the parser busy for hours.
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")
# mido has no error of its own: damage surfaces as whatever its parser stumbles over.
_MIDI_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    struct.error,
    KeySignatureError,
)


def melody_from_file(
    path: str | Path,
    *,
    loop: bool = True,
    line: Line = "top",
    rest: RestPolicy | None = None,
    extractor: ChromaExtractor | None = None,
) -> Melody:
    """The melody of a MIDI file (.mid, .midi) or of an audio file (all else).

    MIDI is read with its tempo map, from all channels but the drums, and reduced to one `line`.
    Audio goes through `extractor` (by default that of the published checkpoints): it should hold
    the melody without drums and bass, since nothing separates them here. `loop` repeats the whole
    file. `rest` defaults to "hold" for MIDI and, as in the reference, to "null" for audio.

    Raises AudioFileError for a file that is missing, damaged, empty, too large (an hour; 4 MiB or
    50,000 notes of MIDI) or without any pitched note; ParameterError for an unknown line or rest.
    """
    path = Path(path)
    if path.suffix.lower() in MIDI_SUFFIXES:
        return _midi_melody(path, loop, line, rest or "hold")
    return _audio_melody(path, loop, rest or "null", extractor or ChromaExtractor())


def _audio_melody(
    path: Path, loop: bool, rest: RestPolicy, extractor: ChromaExtractor
) -> AudioMelody:
    rate_hz = extractor.parameters.sample_rate_hz
    samples = read_audio(path, rate_hz, channels=1, max_seconds=MAX_SECONDS)[0]  # [N]
    classes = tuple(extractor.pitch_classes(samples, rate_hz).tolist())
    if all(one == REST_CLASS for one in classes):
        raise AudioFileError(f"{path} is silent: expected a melody that can be heard")
    seconds = len(samples) / rate_hz
    loop_seconds = _loop_seconds(path, seconds) if loop else None
    return AudioMelody(seconds, loop_seconds, rest, classes, extractor.parameters.hop_seconds)


def _midi_melody(path: Path, loop: bool, line: Line, rest: RestPolicy) -> NoteMelody:
    notes, seconds = read_midi_notes(path)
    if all(note.end_seconds - note.start_seconds < MIN_NOTE_SECONDS for note in notes):
        raise AudioFileError(f"{path} has only notes below {MIN_NOTE_SECONDS} s: expected a melody")
    loop_seconds = _loop_seconds(path, seconds) if loop else None
    return melody_from_notes(
        notes, length_seconds=seconds, loop_seconds=loop_seconds, line=line, rest=rest
    )


def _loop_seconds(path: Path, seconds: float) -> float:
    shortest, _ = LOOP_SECONDS_RANGE
    if seconds < shortest:
        raise AudioFileError(f"{path} lasts {seconds:g} s: expected {shortest} s or more to loop")
    return seconds


def read_midi_notes(
    path: str | Path, *, seconds_per_beat: float | None = None
) -> tuple[list[Note], float]:
    """The pitched notes of a MIDI file in seconds, and the length of the file in seconds.

    With `seconds_per_beat` every quarter note lasts so long, whatever the file's own tempo map
    says. Notes that are never released end with the file. Raises AudioFileError as
    `melody_from_file`.
    """
    path = Path(path)
    sounding: defaultdict[tuple[int, int], deque[tuple[float, int]]] = defaultdict(deque)
    notes: list[Note] = []
    now_seconds = 0.0
    for message in _midi_messages(path, seconds_per_beat):
        now_seconds += message.time
        if message.type not in ("note_on", "note_off") or message.channel == _DRUM_CHANNEL:
            continue
        held = sounding[message.channel, message.note]
        if message.type == "note_on" and message.velocity > 0:
            held.append((now_seconds, message.velocity))
        elif held:
            _append_note(notes, message.note, held.popleft(), now_seconds)
        if len(notes) > MAX_MIDI_NOTES:
            raise AudioFileError(f"{path} has too many notes: expected at most {MAX_MIDI_NOTES}")
    for (_, pitch), held in sounding.items():
        for begun in held:
            _append_note(notes, pitch, begun, now_seconds)
    if not notes:
        raise AudioFileError(
            f"{path} has no notes beside drums (MIDI channel 10): expected a melody"
        )
    if now_seconds > MAX_SECONDS * (seconds_per_beat or 1.0):
        unit = "s" if seconds_per_beat is None else "beats"
        length = now_seconds / (seconds_per_beat or 1.0)
        raise AudioFileError(
            f"{path} lasts {length:.0f} {unit}: expected at most {MAX_SECONDS:g}; cut it first"
        )
    return notes, now_seconds


def _append_note(
    notes: list[Note], pitch: int, begun: tuple[float, int], end_seconds: float
) -> None:
    start_seconds, velocity = begun
    if start_seconds < end_seconds:  # some programs write notes of no length
        notes.append(Note(pitch, start_seconds, end_seconds, velocity))


def _midi_messages(path: Path, seconds_per_beat: float | None) -> list[mido.Message]:
    """All messages of a MIDI file in order, each with the seconds since the one before."""
    if not path.exists():
        raise AudioFileError(f"{path} does not exist: expected a MIDI file; check the path")
    if not path.is_file():
        raise AudioFileError(f"{path} is not a regular file: expected a MIDI file")
    if path.stat().st_size > MAX_MIDI_BYTES:
        raise AudioFileError(
            f"{path} has {path.stat().st_size} bytes: expected at most {MAX_MIDI_BYTES}"
        )
    try:
        content = path.read_bytes()
        if _ENDLESS_NUMBER.search(content):
            raise ValueError("it holds a number without end")
        midi = mido.MidiFile(file=io.BytesIO(content))
        if midi.ticks_per_beat <= 0:
            raise ValueError("its time counts film frames, not beats")
        if seconds_per_beat is None:
            return list(midi)
        seconds_per_tick = seconds_per_beat / midi.ticks_per_beat
        return [message.copy(time=message.time * seconds_per_tick) for message in midi.merged_track]
    except _MIDI_ERRORS as error:
        raise AudioFileError(
            f"{path} cannot be read as MIDI ({error or type(error).__name__}): "
            "expected a standard MIDI file of format 0 or 1"
        ) from error
