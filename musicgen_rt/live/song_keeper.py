"""A song that is played live: which section the stream plays, by frames, and when the next begins.

A section begins as commands do, at a frame that is about to be made: what it changes is put into
the score there. So going back undoes it, and it follows whatever clock the session has. Its
opening bars are remembered when they are complete, for sections that recall it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError, MusicgenRTError, ParameterError
from musicgen_rt.live.controls import Edit, attribute_edits, require_melody_ability
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody_keeper import MelodyKeeper, Turn
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.score import PARAMETERS
from musicgen_rt.live.song import NUMBERS, Section, Song
from musicgen_rt.live.song_begun import Begun, SongNews
from musicgen_rt.live.song_edits import Places, recall_edits, section_edits
from musicgen_rt.live.song_plan import compile_song
from musicgen_rt.live.song_tune import tune_turn


class SongKeeper:
    """A song and its place in one stream. One thread: the engine's. Frames are the stream's."""

    def __init__(self, engine: Engine, melody: MelodyKeeper) -> None:
        self.engine = engine
        self.song: Song | None = None
        self._melody = melody
        self._begun: list[Begun] = []
        # What was told, by frames: the last is what plays, as far as is known outside.
        self._told: list[Begun] = []
        # The numbers of before the song: those of sections that do not name them.
        self._usual: dict[str, float] = {}
        self._resumed: dict[str, float] = {}
        self._memories: dict[str, Memory] = {}
        # Of which section, by where it began, the opening is remembered up to which frame.
        self._remembered: dict[tuple[str, int], int] = {}

    def use(self, engine: Engine) -> None:
        """Go on with another engine; a song that its model cannot play is dropped."""
        self.engine, self._memories = engine, {}
        try:
            if self.song is not None:
                self.check(self.song)
        except MusicgenRTError:
            self.song = None

    def check(self, song: Song) -> None:
        """Raise what would go wrong when the song is played: too long memories, unknown names."""
        config, stream = self.engine.model.config, self.engine.session.stream
        numbers = {name: PARAMETERS[name].default for name in PARAMETERS}
        longest = stream.parts.plan.longest_memory_frames
        compile_song(song, config.frame_rate_hz, numbers, longest)
        for section in song.sections:
            if section.melody is not None:
                require_melody_ability(config)
            for name, is_on in section.attributes.items():
                attribute_edits(name, is_on, config)
        for text in song.texts:
            self.engine.parts.conditions.check(text)

    def load(self, song: Song) -> None:
        """Have a song ready in place of the one before, which is over."""
        if self._section is not None:
            self.stop(self.engine.next_frame)
        self._begun = self._begun[-1:]
        self.song, self._memories, self._remembered = song, {}, {}

    @property
    def usual(self) -> Mapping[str, float]:
        """The numbers of sections that do not name them, while one plays."""
        return self._usual if self._section is not None else {}

    @contextmanager
    def resuming(self, usual: Mapping[str, float]) -> Iterator[None]:
        """Around the beginning of a section that played in another process, with its `usual`."""
        self._resumed = dict(usual)
        yield
        self._resumed = {}

    def index(self, name: str | None) -> int:
        """Which section has a name, the first for None. Raises ParameterError."""
        if self.song is None:
            raise ParameterError("no song is loaded: expected song/load first")
        names = [section.name for section in self.song.sections]
        if name is not None and name not in names:
            raise ParameterError(f"section {name!r}: the song has {', '.join(names)}")
        return 0 if name is None else names.index(name)

    def begin(self, index: int, frame: int) -> None:
        """Play a section from `frame` on; the stream goes back there if it stands behind it."""
        assert self.song is not None
        self.unbegin(frame)
        section, before = self.song.sections[index], self._section
        timeline, score = self._timeline, self.engine.session.stream.score
        if before is None:
            self._usual = {name: score.target_at(name, frame) for name in PARAMETERS}
            self._usual |= self._resumed
        beats = section.transition_bars * section.beats_per_bar
        ramp_frames = round(timeline.frame_at(timeline.beat_at(frame) + beats)) - frame
        places = Places.of(score, frame)
        edits = section_edits(self.song, section, before, places, self._usual, ramp_frames)
        turn = None
        if section.melody is not None or (before is not None and before.melody is not None):
            turn = tune_turn(section.melody, frame, timeline)
            self._melody.change(frame, turn)
            self._melody.tell()
        self._enter(Begun(frame, section, index, turn=turn), edits)
        self._recall(frame)

    def stop(self, frame: int) -> None:
        """From `frame` on no section follows; the music goes on under the controls that stand."""
        if self._section is None:
            raise ParameterError("no song is being played: expected song/play first")
        self.unbegin(frame)
        self._enter(Begun(frame, None), [])
        self._recall(frame)

    def unbegin(self, frame: int) -> None:
        """Let what has begun at `frame` or later not have begun: it begins again where it is due.

        The stream goes back to the first of them if it stands behind it.
        """
        undone = [one for one in self._begun if one.frame >= frame]
        self._begun = [one for one in self._begun if one.frame < frame]
        for one in undone:
            for _, edit in one.edits:
                self.engine.drop_coming(edit.key, one.frame)
            if one.turn is not None:
                self._melody.take_back(one.turn)
        self._melody.tell()

    def unbegin_moved(self, frame: int) -> None:
        """As `unbegin` after the timeline has changed before `frame`: nothing is to be told yet.

        Tempo changes that were told for those sections are dropped by the new timeline.
        """
        self.unbegin(frame)
        self._told = [one for one in self._told if one.frame < frame]

    @contextmanager
    def giving_way(self, frame: int) -> Iterator[None]:
        """Around changes of controls at `frame`: sections that begin later begin on top of them.

        So what comes in shortly before a section, which is made already, fades out with the rest.
        What was set by hand since such a section begins stays on top of that. Where a change has
        the song go on otherwise, they do not begin.
        """
        later = [one for one in self._begun if one.frame > frame]
        by_hand = self._changed_by_others(later)
        self.unbegin(frame + 1)
        song, standing = self.song, self._begun[-1:]
        yield
        if not later or self.song is not song or self._begun[-1:] != standing:
            return
        for one in later:
            if one.section is None:
                self.stop(one.frame)
            else:
                self.begin(one.index, one.frame)
        for at, edit in by_hand:
            self.engine.apply([edit], at)

    def go_on(self, is_waiting: bool) -> None:
        """Do what is due at the next frame to be made.

        Nothing is due while the stream `is_waiting` for a loop to end.
        """
        self._remember()
        due = self.due_frame
        if due is None or due > self.engine.next_frame or is_waiting:
            return
        assert self.song is not None  # or nothing is due
        index = self._begun[-1].index + 1
        if index < len(self.song.sections):
            self.begin(index, max(due, self.engine.next_frame))
        else:
            self.stop(max(due, self.engine.next_frame))

    def news(self) -> SongNews | None:
        """What plays now, if something else was told."""
        now = self._begun[-1] if self._begun else Begun(0, None)
        before = self._told[-1] if self._told else Begun(0, None)
        if now == before or now.section is before.section is None:
            return None
        earlier = [one for one in self._told if one.frame < now.frame]
        in_force = [*earlier[-1:], *self._told[len(earlier) :]]
        self._told = [*earlier, now]
        section = now.section
        if section is None:
            self._told = []
            return SongNews(now.frame, None, 0, moves_clock=False)
        clocks = {one.section and _clock_of(one.section) for one in in_force}
        return SongNews(now.frame, section, now.index + 1, clocks != {_clock_of(section)})

    @property
    def due_frame(self) -> int | None:
        """Where the next section begins, or the song is over; None while none is played."""
        section = self._section
        if section is None or self.song is None or self.engine.timeline is None:
            return None
        # As what is asked for at that line, which so is heard in the section: from the frame on in
        # which the line lies.
        bar = self._bar_after(self._begun[-1].frame, section.bars)
        return math.floor(self._timeline.bar_line_at(bar))

    # The stream goes elsewhere

    def go_back(self, frame: int) -> None:
        """It went back to `frame` with the controls of then."""
        self._begun = [one for one in self._begun if one.frame < frame]

    def take_along(self, frame: int, turn: Turn) -> None:
        """It went back to `frame` with the controls of now: a section that began later begins.

        `turn` is what brought the melody there.
        """
        later = [one for one in self._begun if one.frame > frame]
        self._begun = [one for one in self._begun if one.frame <= frame]
        if later:
            self._begun.append(replace(later[-1], frame=frame, turn=turn))
            self._recall(frame)

    def leave(self) -> None:
        """It is another stream: the song is over, and stays ready."""
        self._begun, self._remembered = [], {}

    # Parts

    @property
    def _section(self) -> Section | None:
        return self._begun[-1].section if self._begun else None

    @property
    def _timeline(self) -> Timeline:
        timeline = self.engine.timeline
        assert timeline is not None
        return timeline

    def _enter(self, begun: Begun, edits: list[Edit]) -> None:
        self.engine.apply(edits, begun.frame)
        self._begun.append(replace(begun, edits=tuple((0, edit) for edit in edits)))

    def _recall(self, frame: int) -> None:
        """Remember what the section that begins at `frame` recalls, or nothing of the song."""
        section, score = self._section, self.engine.session.stream.score
        memory = None if section is None else self._memories.get(section.recall or "")
        edits: list[Edit] = [Edit("memory", memory)]
        after: tuple[Edit, ...] = ()
        if memory is not None:
            # At the frame itself a bank that is recalled there has its own.
            usual = int(score.target_at("context_bars", frame + 1))
            here, after = recall_edits(usual)
            edits += here
        elif self._memory_at(frame) is None:
            return
        self.engine.apply(edits, frame)
        self.engine.apply(after, frame + 1)
        begun = self._begun[-1]
        own = (*((0, edit) for edit in edits), *((1, edit) for edit in after))
        self._begun[-1] = replace(begun, edits=(*begun.edits, *own))

    def _changed_by_others(self, begun: list[Begun]) -> list[tuple[int, Edit]]:
        """Of the controls that these change: every change since the first that is not theirs."""
        own = {(one.frame + on, edit.key): edit.value for one in begun for on, edit in one.edits}
        keys, nothing = {key for _, key in own}, object()
        return [
            (change.frame, Edit(key, change.value, change.ramp_frames))
            for key, track in self.engine.session.stream.score.tracks()
            if key in keys
            for change in track.changes
            if change.frame >= begun[0].frame
            and own.get((change.frame, key), nothing) is not change.value
        ]

    def _bar_after(self, frame: int, bars: int) -> int:
        """The number of the bar so many bars after a section's beginning."""
        # It may begin a frame before its own bar line.
        return self._timeline.bar_at(frame + 1) + bars

    def _bar_start(self, frame: int, bars: int) -> int:
        """The frame nearest to that bar's line."""
        return self._timeline.bar_start_frame(self._bar_after(frame, bars))

    def _memory_at(self, frame: int) -> Memory | None:
        """What is remembered at a frame, if it is one of the song's openings."""
        memory: Memory | None = self.engine.session.stream.score.at("memory", frame)
        return next((one for one in self._memories.values() if one is memory), None)

    def _opening(self, section: Section, begins: int) -> tuple[int, int]:
        """First frame and end of the bars to remember: after its transition, as many as fit."""
        assert self.song is not None
        recalls = [one for one in self.song.sections if one.recall == section.name]
        asked = max((one.memory_bars or 0 for one in recalls), default=0)
        bars = asked or int(NUMBERS["memory_bars"].default)
        skipped = section.transition_bars % section.bars
        first = max(begins, self._bar_start(begins, skipped))
        longest = self.engine.session.stream.parts.plan.longest_memory_frames
        ends = [self._bar_start(begins, skipped + count) for count in range(1, bars + 1)]
        last = self._bar_start(begins, section.bars)
        return first, max((end for end in ends if end <= min(last, first + longest)), default=first)

    def _remember(self) -> None:
        """Keep the opening of what plays or has just ended, once it is complete, as it is heard."""
        next_frame = self.engine.next_frame
        complete = self.engine.session.stream.store.complete_at(next_frame)
        # What one went back before is made again.
        self._remembered = {key: end for key, end in self._remembered.items() if end <= complete}
        recalled = () if self.song is None else {one.recall for one in self.song.sections}
        over = self.engine.next_frame
        for begun in self._begun[:-3:-1]:
            section, ends, over = begun.section, over, begun.frame
            if section is None or section.name not in recalled:
                continue
            key = section.name, begun.frame
            if key in self._remembered:
                continue
            first, end = self._opening(section, begun.frame)
            # What follows begins in the frame in which its line lies; most of that may be its own.
            if not first < end <= min(complete, ends + 1):
                continue
            self._remembered[key] = end
            with suppress(HistoryError):  # it is too long ago: what was remembered before stays
                memory = self.engine.session.remember(first, end - first, next_frame)
                # Before every frame of this stream and of others, so that it always counts.
                self._memories[section.name] = replace(memory, first_frame=first - end)


def _clock_of(section: Section) -> tuple[float, int]:
    return section.bpm, section.beats_per_bar
