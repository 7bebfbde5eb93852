"""Compiles a song: from sections in bars to edits of the engine's score, each at its frame.

A pure step: the same song, rate and controls give the same plan, and nothing is played. What
cannot be known before it is played, the codes of opening bars that are recalled, stands in the
plan as where they will lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.controls import Edit
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.score import PARAMETERS
from musicgen_rt.live.song import MAX_SECONDS, NUMBERS, Section, Song, Tune
from musicgen_rt.live.song_edits import Places, recall_edits, section_edits
from musicgen_rt.model.notes import Note


@dataclass(frozen=True)
class PlacedSection:
    """Where a section lies: bars from 0, and absolute frames [first_frame, end_frame)."""

    name: str
    recall: str | None
    first_bar: int
    bars: int
    beats_per_bar: int
    bpm: float
    first_frame: int
    end_frame: int


@dataclass(frozen=True)
class Cue:
    """Edits of the score that take effect at a frame."""

    frame: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Recall:
    """From `at_frame` on `frames` frames from `first_frame` on are remembered."""

    at_frame: int
    first_frame: int
    frames: int


@dataclass(frozen=True)
class SongPlan:
    """A compiled song; all frames are absolute. `cues` and `recalls` are in order of frames."""

    timeline: Timeline
    sections: tuple[PlacedSection, ...]
    cues: tuple[Cue, ...]
    recalls: tuple[Recall, ...]
    first_frame: int
    end_frame: int

    def sections_from(self, frame: int) -> tuple[PlacedSection, ...]:
        """Its sections with frames counted from `frame`."""
        return tuple(
            replace(one, first_frame=one.first_frame - frame, end_frame=one.end_frame - frame)
            for one in self.sections
        )


def compile_song(
    song: Song,
    frame_rate_hz: float,
    parameters: Mapping[str, float],
    longest_memory_frames: int,
    first_frame: int = 0,
) -> SongPlan:
    """The plan of a song whose first bar begins at `first_frame`.

    `parameters` are the engine's numbers where a section does not name them. Raises ParameterError
    for a song longer than a day and for bars to remember that do not fit into
    `longest_memory_frames`.
    """
    timeline = _timeline(song, frame_rate_hz, first_frame)
    sections = tuple(_placed(song, timeline))
    end_frame = sections[-1].end_frame
    if (end_frame - first_frame) / frame_rate_hz > MAX_SECONDS:
        raise ParameterError(
            f"the song lasts {(end_frame - first_frame) / frame_rate_hz:.0f} s: expected at most "
            f"{MAX_SECONDS:g} s; fewer bars or a higher tempo"
        )
    recalls = tuple(_recalls(song, sections, timeline, longest_memory_frames))
    places = Places()
    cues = []
    for index, section in enumerate(song.sections):
        before = song.sections[index - 1] if index else None
        at = sections[index]
        ramp = timeline.bar_start_frame(at.first_bar + section.transition_bars) - at.first_frame
        edits = section_edits(song, section, before, places, parameters, ramp)
        if section.melody is not None or (before is not None and before.melody is not None):
            edits.append(Edit("melody", _placed_melody(section.melody, at, timeline)))
        cues.append(Cue(at.first_frame, tuple(edits)))
        cues.extend(_memory_cues(section, before, at.first_frame, parameters))
    return SongPlan(timeline, sections, tuple(cues), recalls, first_frame, end_frame)


def _timeline(song: Song, frame_rate_hz: float, first_frame: int) -> Timeline:
    """All tempi and metres of the song. A tempo moves beat by beat through a transition."""
    first = song.sections[0]
    timeline = Timeline.start(
        first.bpm, first.beats_per_bar, frame_rate_hz=Fraction(frame_rate_hz), frame=first_frame
    )
    old_bpm = first.bpm
    for section, bar in zip(song.sections, song.first_bars, strict=True):
        start = timeline.bar_start_frame(bar)
        # Not beat_at(start): the bar line lies up to half a frame beside its own frame.
        beat = timeline.beat_at(timeline.bar_line_at(bar))
        steps = section.transition_bars * section.beats_per_bar if section.bpm != old_bpm else 0
        begin_bpm = old_bpm + (section.bpm - old_bpm) / max(1, steps)
        timeline = timeline.with_tempo(start, begin_bpm, section.beats_per_bar)
        for step in range(1, steps):
            bpm = old_bpm + (section.bpm - old_bpm) * (step + 1) / steps
            timeline = timeline.with_tempo(round(timeline.frame_at(beat + step)), bpm)
        old_bpm = section.bpm
    return timeline


def _placed(song: Song, timeline: Timeline) -> Iterator[PlacedSection]:
    for section, bar in zip(song.sections, song.first_bars, strict=True):
        yield PlacedSection(
            section.name,
            section.recall,
            bar,
            section.bars,
            section.beats_per_bar,
            section.bpm,
            timeline.bar_start_frame(bar),
            timeline.bar_start_frame(bar + section.bars),
        )


def _recalls(
    song: Song, sections: tuple[PlacedSection, ...], timeline: Timeline, longest_frames: int
) -> Iterator[Recall]:
    """Where the opening bars lie that are to be remembered.

    They are the first after the section's own transition: until then it still is the one before.
    """
    for section, at in zip(song.sections, sections, strict=True):
        if section.recall is None:
            continue
        index = song.index(section.recall)
        source = sections[index]
        skipped = song.sections[index].transition_bars % source.bars
        begins = timeline.bar_start_frame(source.first_bar + skipped)
        asked = section.memory_bars or int(NUMBERS["memory_bars"].default)
        frames = [
            timeline.bar_start_frame(source.first_bar + skipped + bars) - begins
            for bars in range(1, min(asked, source.bars - skipped) + 1)
        ]
        if section.memory_bars is None:
            frames = [count for count in frames if count <= longest_frames] or frames[:1]
        if frames[-1] > longest_frames:
            raise ParameterError(
                f"section {section.name!r} remembers {len(frames)} bars of {source.name!r}, "
                f"{frames[-1]} frames: expected at most {longest_frames}, the window without its "
                "context; set memory_bars lower, --context shorter or --window longer"
            )
        yield Recall(at.first_frame, begins, frames[-1])


def _memory_cues(
    section: Section, before: Section | None, frame: int, base: Mapping[str, float]
) -> Iterator[Cue]:
    """A recall begins a window of its own with little context; what follows one forgets it."""
    if section.recall is not None:
        usual = int(base.get("context_bars", PARAMETERS["context_bars"].default))
        here, next_frame = recall_edits(usual)
        yield Cue(frame, here)
        yield Cue(frame + 1, next_frame)
    elif before is not None and before.recall is not None:
        yield Cue(frame, (Edit("memory", None),))


def _placed_melody(tune: Tune | None, at: PlacedSection, timeline: Timeline) -> PlacedMelody | None:
    """A tune's rounds through a section, in seconds by the beats of the timeline."""
    if tune is None:
        return None
    rate_hz = float(timeline.frame_rate_hz)
    first_beat = timeline.beat_at(timeline.bar_line_at(at.first_bar))
    end_beat = first_beat + at.bars * at.beats_per_bar
    length_seconds = (at.end_frame - at.first_frame) / rate_hz

    def seconds(beat: float) -> float:
        moment = (timeline.frame_at(min(beat, end_beat)) - at.first_frame) / rate_hz
        return min(max(moment, 0.0), length_seconds)

    notes = []
    round_beat = first_beat
    while round_beat < end_beat:
        for start, length, pitch in tune.notes:
            end = min(start + length, tune.loop_beats)
            begins, ends = seconds(round_beat + start), seconds(round_beat + end)
            if begins < ends:
                notes.append(Note(pitch, begins, ends))
        round_beat += tune.loop_beats
    melody = melody_from_notes(notes, length_seconds=length_seconds)
    return PlacedMelody(melody, at.first_frame, rate_hz)
