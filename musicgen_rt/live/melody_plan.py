"""From what the player asks to melodies at their frames: what the score is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.melody import MIN_NOTE_SECONDS, Melody, NoteMelody, melody_from_notes
from musicgen_rt.live.melody_file import MIDI_SUFFIXES, melody_from_file, read_midi_notes
from musicgen_rt.live.melody_state import (
    AudioPart,
    HeldNote,
    MelodyState,
    Pattern,
    PatternNote,
    SoundedNote,
    held_in,
)
from musicgen_rt.model.notes import Line, Note, reduce_polyphony

# What is left of a note must last a little longer than a melody demands, as its floats are rounded.
_SHORTEST_SECONDS = 1.001 * MIN_NOTE_SECONDS
# A held note has no end yet: no session is as long as this.
_ENDLESS_SECONDS = 1e6


@dataclass(frozen=True)
class Placement:
    """From frame `frame` on the melody is this one, begun at `start_frame`."""

    frame: int
    melody: Melody | None
    start_frame: int


def placements(
    state: MelodyState,
    frame: int,
    timeline: Timeline,
    frame_rate_hz: float,
    *,
    looks_back: bool = True,
) -> list[Placement]:
    """All that the melody does from `frame` on if nothing more is played, in order of frames.

    Where the first one is later than `frame`, what was before goes on until then. `looks_back` says
    whether a melody is also asked what it was before its frame, as one is for a chroma prefix.
    """
    if state.mode == "follow":
        return [_followed(state, frame, frame_rate_hz, looks_back)]
    if state.mode == "file" and isinstance(state.file, Pattern):
        return _repeated(state.file, (), frame, timeline, frame_rate_hz, None)
    if state.mode == "file" and isinstance(state.file, AudioPart):
        start = state.file.start_frame
        return [Placement(max(frame, start), state.file.melody, start)]
    if state.mode == "loop" and state.loop is not None:
        loop, capture_end = state.loop, state.loop.start_beat + state.loop.beats
        end_frame = round(timeline.frame_at(capture_end))
        begin = max(frame, end_frame)
        later = _repeated(loop, state.held, begin, timeline, frame_rate_hz, state.line)
        if frame < end_frame:
            return [_followed(state, frame, frame_rate_hz, looks_back), *later]
        return later
    return [Placement(frame, None, frame)]


def read_melody(path: Path, line: Line = "top") -> Melody | Pattern:
    """A file's melody: a line of MIDI in beats, or what is heard in audio.

    Raises AudioFileError.
    """
    if path.suffix.lower() not in MIDI_SUFFIXES:
        return melody_from_file(path)
    notes, beats = read_midi_notes(path, seconds_per_beat=1.0)
    melody = reduce_polyphony(notes, line)
    in_beats = (PatternNote(n.pitch, n.velocity, n.start_seconds, n.end_seconds) for n in melody)
    return Pattern(0.0, beats, tuple(in_beats))


def _followed(state: MelodyState, frame: int, frame_rate_hz: float, looks_back: bool) -> Placement:
    """What was played since, and what is held from now on. Free before the first note."""
    if state.release == "free" and not state.held:
        return Placement(frame, None, frame)
    sounded = state.sounded
    if not looks_back:  # what matters of what is over is what came last
        sounded = () if state.held else _last_ended(sounded)
    frames = [note.start_frame for note in sounded] + [note.frame for note in state.held]
    if not frames:
        return Placement(frame, None, frame)
    first = min(frames)
    notes = [
        Note(
            note.pitch,
            (note.start_frame - first) / frame_rate_hz,
            (note.end_frame - first) / frame_rate_hz,
            note.velocity,
        )
        for note in sounded
    ]
    notes += [
        Note(note.pitch, (note.frame - first) / frame_rate_hz, _ENDLESS_SECONDS, note.velocity)
        for note in state.held
    ]
    if state.release == "keep" and not state.held:
        last = max(notes, key=lambda note: (note.end_seconds, note.start_seconds))
        notes.append(replace(last, start_seconds=last.end_seconds, end_seconds=_ENDLESS_SECONDS))
    melody = melody_from_notes(notes, length_seconds=_ENDLESS_SECONDS, line=state.line)
    return Placement(frame, melody, first)


def _last_ended(sounded: tuple[SoundedNote, ...]) -> tuple[SoundedNote, ...]:
    """Those that ended together, after all others."""
    return tuple(note for note in sounded if note.end_frame == sounded[-1].end_frame)


def _repeated(
    pattern: Pattern,
    held: tuple[HeldNote, ...],
    frame: int,
    timeline: Timeline,
    frame_rate_hz: float,
    line: Line | None,
) -> list[Placement]:
    """A pattern from its beginning, or from `frame` on, at each tempo that is known to come.

    With None for `line` it has one note at a time already, in order.
    """
    frame = max(frame, round(timeline.frame_at(pattern.start_beat)))
    notes = pattern.notes + tuple(held_in(pattern, note, None) for note in held)
    if not notes:
        return [Placement(frame, None, frame)]
    changes = [segment.frame for segment in timeline.segments if segment.frame > frame]
    # Counted from where its tempo began, so that one and the same melody has one beginning.
    since = max((s.frame for s in timeline.segments if s.frame <= frame), default=frame)
    placed = []
    for at, begun in ((frame, since), *((change, change) for change in changes)):
        beat_seconds = 60 / timeline.bpm_at(at)
        phase_beats = (timeline.beat_at(begun) - pattern.start_beat) % pattern.beats
        start = round(begun - phase_beats * beat_seconds * frame_rate_hz)
        placed.append(Placement(at, _in_seconds(notes, pattern.beats, beat_seconds, line), start))
    return placed


def _in_seconds(
    notes: tuple[PatternNote, ...], beats: float, beat_seconds: float, line: Line | None
) -> NoteMelody | None:
    """The notes at a tempo, as a loop of so many beats; what is no note any more is left out."""
    loop_seconds = beats * beat_seconds
    scaled = [
        Note(
            note.pitch,
            note.start_beats * beat_seconds,
            min(note.end_beats * beat_seconds, loop_seconds),
            note.velocity,
        )
        for note in notes
        if min(note.end_beats, beats) - note.start_beats > _SHORTEST_SECONDS / beat_seconds
    ]
    if not scaled:
        return None
    if line is None:  # quicker: a file has many notes, and a host's tempo many changes
        return NoteMelody(loop_seconds, loop_seconds, "hold", tuple(scaled))
    return melody_from_notes(
        scaled, length_seconds=loop_seconds, loop_seconds=loop_seconds, line=line
    )
