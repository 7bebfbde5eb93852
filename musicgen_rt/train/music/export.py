"""A clip as files that other programs open: WAV, JSON and MIDI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mido
import soundfile

from musicgen_rt.errors import AudioFileError
from musicgen_rt.train.music.clip import Clip
from musicgen_rt.train.music.events import PlacedHit, PlacedNote
from musicgen_rt.train.music.truth import Truth

TICKS_PER_BEAT = 960
DRUM_CHANNEL = 9
# General MIDI percussion.
DRUM_PITCHES = {
    "kick": 36,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "tom_low": 45,
    "hat": 42,
    "tom_mid": 47,
    "open_hat": 46,
    "crash": 49,
    "tom_high": 50,
    "ride": 51,
    "tambourine": 54,
    "cowbell": 56,
    "conga": 63,
    "shaker": 70,
    "woodblock": 76,
}
_DRUM_SECONDS = 0.05


@dataclass(frozen=True)
class ExportedFiles:
    """The paths of the three files."""

    wav: Path
    json: Path
    midi: Path


def export(clip: Clip, folder: Path, name: str) -> ExportedFiles:
    """Writes `name`.wav (24 bit), `name`.json (the truth) and `name`.mid into `folder`.

    The MIDI file has a tempo map and tracks for drums, bass, chords (pad and keys) and lead; it
    begins on the downbeat before the clip, so the clip's start lies within its first bar. Raises
    AudioFileError if the folder cannot be written.
    """
    files = ExportedFiles(*(folder / f"{name}.{ending}" for ending in ("wav", "json", "mid")))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(files.wav, clip.samples, clip.rate_hz, subtype="PCM_24")
        files.json.write_text(clip.truth.to_json(), encoding="utf-8")
        truth_to_midi(clip.truth).save(files.midi)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"cannot write {name!r} into {folder}: {error}; choose a folder that can be written"
        ) from error
    return files


def truth_to_midi(truth: Truth) -> mido.MidiFile:
    """The clip's notes on its beats: tick 0 is the downbeat of the bar in which it begins."""
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT)
    midi.tracks.append(_conductor(truth))
    midi.tracks.append(_track("drums", _drum_events(truth, truth.drum_hits)))
    parts = (
        ("bass", 0, truth.bass_notes),
        ("chords", 1, (*truth.pad_notes, *truth.keys_notes)),
        ("lead", 2, truth.lead_notes),
    )
    for name, channel, notes in parts:
        midi.tracks.append(_track(name, _note_events(truth, channel, notes)))
    return midi


def _conductor(truth: Truth) -> mido.MidiTrack:
    """The meter, and the tempo wherever it changes."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="tempo", time=0)])
    track.append(
        mido.MetaMessage("time_signature", numerator=truth.beats_per_bar, denominator=4, time=0)
    )
    edges = truth.grid.edges_seconds
    last_tempo, last_beat = 0, 0
    for beat in range(len(edges) - 1):
        tempo = round((edges[beat + 1] - edges[beat]) * 1e6)
        if tempo != last_tempo:
            ticks = (beat - last_beat) * TICKS_PER_BEAT
            track.append(mido.MetaMessage("set_tempo", tempo=tempo, time=ticks))
            last_tempo, last_beat = tempo, beat
    return track


def _drum_events(truth: Truth, hits: Iterable[PlacedHit]) -> list[tuple[int, mido.Message]]:
    notes = [
        PlacedNote(
            hit.start_seconds,
            hit.start_seconds + _DRUM_SECONDS,
            DRUM_PITCHES[hit.drum],
            hit.velocity,
        )
        for hit in hits
    ]
    return _note_events(truth, DRUM_CHANNEL, notes)


def _note_events(
    truth: Truth, channel: int, notes: Iterable[PlacedNote]
) -> list[tuple[int, mido.Message]]:
    """(tick, message) of every note's start and end."""
    events = []
    for note in notes:
        start, end = (
            round(float(beat) * TICKS_PER_BEAT)
            for beat in truth.grid.beats([note.start_seconds, note.end_seconds])
        )
        velocity = min(127, max(1, round(note.velocity * 127)))
        on = mido.Message("note_on", channel=channel, note=note.pitch, velocity=velocity)
        off = mido.Message("note_off", channel=channel, note=note.pitch, velocity=0)
        events += [(start, on), (max(end, start + 1), off)]
    return events


def _track(name: str, events: list[tuple[int, mido.Message]]) -> mido.MidiTrack:
    """A track of the events in order; at one tick notes end before others start."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name, time=0)])
    last_tick = 0
    for tick, message in sorted(events, key=lambda event: (event[0], event[1].type != "note_off")):
        track.append(message.copy(time=tick - last_tick))
        last_tick = tick
    return track
