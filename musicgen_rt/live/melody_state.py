"""What the player asks the melody to be: notes held, a loop, a file, or nothing.

A state is a value; notes and commands give another one. Frames are the stream's and beats are those
of its timeline: loops and files are laid out in beats, so they follow the tempo, and when the music
goes back they go back with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast, get_args

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.controls import checked_whole
from musicgen_rt.live.melody import Melody
from musicgen_rt.model.notes import Line

Mode = Literal["off", "follow", "loop", "file"]
Release = Literal["rest", "keep", "free"]
"""What follows the last held note: silence of the melody, its last pitch, or the model's choice."""

DEFAULT_LOOP_BARS = 4
LOOP_BARS_RANGE = (1, 64)
MAX_HELD_NOTES = 128
MAX_LOOP_NOTES = 2048
# What was played longer ago than any window is of no use to a model.
_MAX_SOUNDED_NOTES = 256
# A note this little before a bar line is meant to be on it.
_EARLY_BEATS = 0.25
_SHORTEST_BEATS = 1 / 16


@dataclass(frozen=True, slots=True)
class HeldNote:
    """A note that sounds: from which frame the music follows it, and when it was struck."""

    pitch: int
    velocity: int
    frame: int
    beat: float


@dataclass(frozen=True, slots=True)
class SoundedNote:
    """A note that was followed, in frames of the stream."""

    pitch: int
    velocity: int
    start_frame: int
    end_frame: int


@dataclass(frozen=True, slots=True)
class PatternNote:
    """A note of a pattern, in beats since the pattern's beginning."""

    pitch: int
    velocity: int
    start_beats: float
    end_beats: float


@dataclass(frozen=True)
class Pattern:
    """Notes that repeat every `beats` from beat `start_beat` on."""

    start_beat: float
    beats: float
    notes: tuple[PatternNote, ...]

    def moved(self, beats_on: float) -> Pattern:
        """The same pattern, beginning so many beats later."""
        return replace(self, start_beat=self.start_beat + beats_on)


@dataclass(frozen=True)
class AudioPart:
    """A melody that was heard in an audio file: it keeps its own tempo, from a frame on."""

    melody: Melody
    start_frame: int


@dataclass(frozen=True)
class MelodyState:
    """All that decides the melody at every coming frame."""

    mode: Mode = "off"
    loop_bars: int = DEFAULT_LOOP_BARS
    held: tuple[HeldNote, ...] = ()
    sounded: tuple[SoundedNote, ...] = ()
    loop: Pattern | None = None
    file: Pattern | AudioPart | None = None
    # What the file is called; a song's tune has no name.
    file_name: str | None = None
    line: Line = "top"
    release: Release = "rest"

    def with_mode(self, mode: str, frame: int, timeline: Timeline) -> MelodyState:
        """Another mode from `frame` on; a file begins at the next bar line.

        Raises ParameterError for an unknown mode, or for a file when there is none.
        """
        if mode not in get_args(Mode):
            raise ParameterError(f"mode {mode!r}: expected {', '.join(get_args(Mode))}")
        if mode == "file" and self.file is None:
            raise ParameterError("there is no file to play: send melody/file first")
        if mode == self.mode:
            return self
        state = replace(self, mode=cast(Mode, mode), sounded=())
        return state._with_file_at(frame, timeline) if mode == "file" else state

    def with_file(
        self, file: Melody | Pattern, frame: int, timeline: Timeline, name: str | None = None
    ) -> MelodyState:
        """A file from the next bar line on; one of notes repeats after whole bars."""
        part: Pattern | AudioPart
        if isinstance(file, Pattern):
            bar_beats = timeline.clock_at(frame).beats_per_bar
            bars = max(1, math.ceil((file.beats - _EARLY_BEATS) / bar_beats))
            part = replace(file, beats=float(bars * bar_beats))
        else:
            part = AudioPart(file, frame)
        return replace(self, mode="file", file=part, file_name=name)._with_file_at(frame, timeline)

    def with_file_of(self, other: MelodyState) -> MelodyState:
        """The same, but a file that `other` plays, too, goes on from where it is there."""
        is_same = self.mode == other.mode == "file" and _has_notes_of(self.file, other.file)
        return replace(self, file=other.file) if is_same else self

    def with_loop_bars(self, bars: int) -> MelodyState:
        """The length of the next loop; one that plays keeps its own."""
        return replace(self, loop_bars=checked_whole("loop_bars", bars, *LOOP_BARS_RANGE))

    def with_line(self, line: str) -> MelodyState:
        """Another choice among notes that sound at once. Raises ParameterError."""
        return replace(self, line=cast(Line, _checked_choice("line", line, get_args(Line))))

    def with_release(self, release: str) -> MelodyState:
        """Another end of what is followed. Raises ParameterError."""
        chosen = _checked_choice("release", release, get_args(Release))
        return replace(self, release=cast(Release, chosen))

    def sounds_other_than(self, other: MelodyState) -> bool:
        """Whether the music is told something else than under another state."""
        if self.mode == other.mode == "off":
            return False
        if self.mode == other.mode == "file":
            return self.file != other.file
        return replace(self, loop_bars=0) != replace(other, loop_bars=0)

    def cleared(self) -> MelodyState:
        """Off, without notes, loop or file."""
        return MelodyState(loop_bars=self.loop_bars, line=self.line, release=self.release)

    def note_on(
        self, pitch: int, velocity: int, frame: int, heard_frame: float, timeline: Timeline
    ) -> MelodyState:
        """A note from `frame` on, struck when `heard_frame` was heard. One of its pitch ends.

        The first note of a loop begins its capture, on the bar line before it, or just after.
        """
        state = self.note_off(pitch, frame, heard_frame, timeline)
        if len(state.held) >= MAX_HELD_NOTES:
            raise ParameterError(f"{len(state.held)} notes are held: expected at most as many keys")
        held = HeldNote(pitch, velocity, frame, timeline.beat_at(heard_frame))
        if state.mode == "loop" and state.loop is None:
            state = replace(state, loop=_new_loop(held.beat, state.loop_bars, timeline))
        return replace(state, held=(*state.held, held))

    def note_off(
        self, pitch: int, frame: int, heard_frame: float, timeline: Timeline
    ) -> MelodyState:
        """The end of a note; without it being held, nothing."""
        note = next((one for one in self.held if one.pitch == pitch), None)
        if note is None:
            return self
        state = replace(self, held=tuple(one for one in self.held if one is not note))
        if self.mode in ("follow", "loop") and note.frame < frame:
            sounded = SoundedNote(pitch, note.velocity, note.frame, frame)
            state = replace(state, sounded=(*self.sounded, sounded)[-_MAX_SOUNDED_NOTES:])
        if self.mode == "loop" and self.loop is not None:
            end_beat = timeline.beat_at(heard_frame)
            state = replace(state, loop=_with_note(self.loop, note, end_beat))
        return state

    def in_hands_of(self, other: MelodyState, frame: int, beat: float) -> MelodyState:
        """The same from `frame` on, where `beat` is, with the keys down that are down in `other`.

        Music goes back, hands do not: a note that was held here and is not any more ends.
        """
        down = {one.pitch: one for one in other.held}
        here = {one.pitch: one for one in self.held}
        held = (here.get(pitch, replace(down[pitch], frame=frame, beat=beat)) for pitch in down)
        ended = (
            SoundedNote(one.pitch, one.velocity, one.frame, frame)
            for one in self.held
            if one.pitch not in down and one.frame < frame
        )
        sounded = (*self.sounded, *ended) if self.mode in ("follow", "loop") else self.sounded
        return replace(self, held=tuple(held), sounded=sounded[-_MAX_SOUNDED_NOTES:])

    def moved(self, frames_on: int, beats_on: float) -> MelodyState:
        """The same melody at another place of the stream: all begins so much later."""
        file = self.file
        if isinstance(file, AudioPart):
            file = replace(file, start_frame=file.start_frame + frames_on)
        elif file is not None:
            file = file.moved(beats_on)
        held = (
            replace(one, frame=one.frame + frames_on, beat=one.beat + beats_on) for one in self.held
        )
        sounded = (
            replace(
                one,
                start_frame=one.start_frame + frames_on,
                end_frame=one.end_frame + frames_on,
            )
            for one in self.sounded
        )
        loop = None if self.loop is None else self.loop.moved(beats_on)
        return replace(self, held=tuple(held), sounded=tuple(sounded), loop=loop, file=file)

    def with_later_moved(self, beat: float, beats_on: float) -> MelodyState:
        """The same, but what of a player began at `beat` or later begins so many beats later."""
        loop = self.loop
        if loop is not None and loop.start_beat > beat - _EARLY_BEATS:
            loop = loop.moved(beats_on)
        held = (
            replace(one, beat=one.beat + beats_on) if one.beat >= beat else one for one in self.held
        )
        return replace(self, held=tuple(held), loop=loop)

    def to_json(self) -> dict[str, Any]:
        """What is laid down, as a value for `json.dumps`; what is held is not."""
        audio = None
        if isinstance(self.file, AudioPart):
            audio = [self.file.melody.to_json(), self.file.start_frame]
        return {
            "mode": self.mode,
            "loop_bars": self.loop_bars,
            "loop": None if self.loop is None else asdict(self.loop),
            "file": asdict(self.file) if isinstance(self.file, Pattern) else None,
            "audio": audio,
            "file_name": self.file_name,
            "line": self.line,
            "release": self.release,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MelodyState:
        """The inverse of `to_json`. Raises ParameterError."""
        try:
            if value["mode"] not in get_args(Mode):
                raise ValueError(f"mode {value['mode']!r}")
            return cls(
                mode=value["mode"],
                loop_bars=checked_whole("loop_bars", value["loop_bars"], *LOOP_BARS_RANGE),
                loop=_pattern_from_json(value["loop"]),
                file=_pattern_from_json(value["file"]) or _audio_from_json(value["audio"]),
                file_name=_checked_name(value.get("file_name")),
                line=_checked_choice("line", value.get("line", "top"), get_args(Line)),
                release=_checked_choice("release", value.get("release", "rest"), get_args(Release)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(
                f"not a melody's state ({error!r}): expected what to_json gave"
            ) from error

    def _with_file_at(self, frame: int, timeline: Timeline) -> MelodyState:
        bar_start = timeline.next_bar_start_at_or_after(frame)
        if isinstance(self.file, AudioPart):
            return replace(self, file=replace(self.file, start_frame=bar_start))
        assert self.file is not None
        start_beat = timeline.beat_at(timeline.bar_line_at(timeline.bar_at(bar_start)))
        return replace(self, file=replace(self.file, start_beat=start_beat))


def _has_notes_of(file: Pattern | AudioPart | None, other: Pattern | AudioPart | None) -> bool:
    if isinstance(file, Pattern) and isinstance(other, Pattern):
        return (file.notes, file.beats) == (other.notes, other.beats)
    if isinstance(file, AudioPart) and isinstance(other, AudioPart):
        return file.melody == other.melody
    return False


def _checked_choice(name: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ParameterError(f"{name} is {value!r}: expected {', '.join(choices)}")
    return value


def _checked_name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"a file called {value!r}")
    return value


def _new_loop(beat: float, bars: int, timeline: Timeline) -> Pattern:
    """An empty loop that begins on the bar line before `beat`, or on one just after it."""
    frame = timeline.frame_at(beat + _EARLY_BEATS)
    bar, _ = timeline.bar_position_at(frame)
    start_beat, end_beat = (
        timeline.beat_at(timeline.bar_line_at(one)) for one in (bar, bar + bars)
    )
    # Bars may be of different lengths; floats must not show in what is a whole number.
    return Pattern(start_beat, round(end_beat - start_beat, 6), ())


def held_in(loop: Pattern, note: HeldNote, end_beat: float | None) -> PatternNote:
    """A played note as one of the loop: cut at the loop's end, also while it is still held."""
    start = max(0.0, note.beat - loop.start_beat) % loop.beats
    if loop.beats - start < _SHORTEST_BEATS:  # so close to the end, it is the beginning's
        start = 0.0
    length = loop.beats - start
    if end_beat is not None:
        length = min(length, max(_SHORTEST_BEATS, end_beat - note.beat))
    return PatternNote(note.pitch, note.velocity, start, start + length)


def _with_note(loop: Pattern, note: HeldNote, end_beat: float) -> Pattern:
    notes = (*loop.notes, held_in(loop, note, end_beat))
    return replace(loop, notes=notes[-MAX_LOOP_NOTES:])


def _pattern_from_json(value: Mapping[str, Any] | None) -> Pattern | None:
    if value is None:
        return None
    notes = tuple(PatternNote(**note) for note in value["notes"])
    beats = float(value["beats"])
    if not beats > 0 or any(not 0 <= n.start_beats < n.end_beats for n in notes):
        raise ValueError(f"a pattern of {beats} beats")
    return Pattern(float(value["start_beat"]), beats, notes)


def _audio_from_json(value: list[Any] | None) -> AudioPart | None:
    if value is None:
        return None
    melody, start_frame = value
    return AudioPart(Melody.from_json(melody), int(start_frame))
