"""A song that is played live: which section the stream plays, by frames, and when the next begins.

A section begins as commands do, at a frame that is about to be made: what it changes is put into
the score there. So going back undoes it, and it follows whatever clock the session has. Its
opening bars are remembered when they are complete, for sections that recall it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.controls import Edit, attribute_edits, require_melody_ability
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody_keeper import MelodyKeeper
from musicgen_rt.live.melody_state import MelodyState, Pattern, PatternNote
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.score import PARAMETERS
from musicgen_rt.live.song import NUMBERS, Section, Song, Tune
from musicgen_rt.live.song_edits import Places, recall_edits, section_edits
from musicgen_rt.live.song_plan import compile_song


@dataclass(frozen=True)
class Begun:
    """From `frame` of the stream on section `index` is played; None: the song is over.

    `keys` are the controls that were changed there.
    """

    frame: int
    index: int | None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class SongNews:
    """What has come to be played: a section from `frame` of the stream on, or none any more.

    `number` is the section's, from 1. `moves_clock` says whether its tempo and metre are others
    than those of the section told before.
    """

    frame: int
    section: Section | None
    number: int
    moves_clock: bool


_NOTHING = Begun(0, None)


class SongKeeper:
    """A song and its place in one stream. One thread: the engine's. Frames are the stream's."""

    def __init__(self, engine: Engine, melody: MelodyKeeper) -> None:
        self.engine = engine
        self.song: Song | None = None
        self._melody = melody
        self._begun: list[Begun] = []
        self._told = _NOTHING
        # The numbers of before the song: those of sections that do not name them.
        self._usual: dict[str, float] = {}
        self._is_remembered = False
        self._memories: dict[str, Memory] = {}

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
        self.leave()
        self.song, self._memories = song, {}
        self._told = _NOTHING

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
        section, before = self.song.sections[index], self._section_before(frame)
        timeline, score = self._timeline, self.engine.session.stream.score
        if before is None:
            self._usual = {name: score.target_at(name, frame) for name in PARAMETERS}
        beats = section.transition_bars * section.beats_per_bar
        ramp_frames = round(timeline.frame_at(timeline.beat_at(frame) + beats)) - frame
        places = Places.of(score, frame)
        edits = section_edits(self.song, section, before, places, self._usual, ramp_frames)
        after: tuple[Edit, ...] = ()
        if (memory := self._memories.get(section.recall or "")) is not None:
            here, after = recall_edits(int(score.target_at("context_bars", frame)))
            edits += [Edit("memory", memory), *here]
        elif self._memory_at(frame) is not None:
            edits.append(Edit("memory", None))
        self._enter(frame, index, edits)
        self.engine.apply(after, frame + 1)
        self._lay_tune(section.melody, None if before is None else before.melody, frame)

    def stop(self, frame: int) -> None:
        """From `frame` on no section follows; the music goes on under the controls that stand."""
        if self._index is None:
            raise ParameterError("no song is being played: expected song/play first")
        edits = [Edit("memory", None)] if self._memory_at(frame) is not None else []
        self._enter(frame, None, edits)

    def poll(self) -> SongNews | None:
        """Do what is due at the next frame to be made; what is to be told of it."""
        self._remember()
        due = self.due_frame
        if due is not None and due <= self.engine.next_frame:
            assert self.song is not None and self._index is not None  # or nothing is due
            if self._index + 1 < len(self.song.sections):
                self.begin(self._index + 1, max(due, self.engine.next_frame))
            else:
                self.stop(max(due, self.engine.next_frame))
        return self._news()

    @property
    def due_frame(self) -> int | None:
        """Where the next section begins, or the song is over; None while none is played."""
        section = self._section
        if section is None or self.engine.timeline is None:
            return None
        return self._bar_start(self._begun[-1].frame, section.bars)

    # The stream goes elsewhere

    def go_back(self, frame: int) -> None:
        """It went back to `frame` with the controls of then."""
        self._begun = [one for one in self._begun if one.frame < frame]
        self._went_back(frame)

    def take_along(self, frame: int) -> None:
        """It went back to `frame` with the controls of now: a section that began later begins."""
        later = [one for one in self._begun if one.frame > frame]
        kept = [one for one in self._begun if one.frame <= frame]
        self._begun = [*kept, *(replace(one, frame=frame) for one in later[-1:])]
        self._went_back(frame)

    def leave(self) -> None:
        """It is another stream: the song is over, and stays ready."""
        self._begun = []

    # Parts

    @property
    def _index(self) -> int | None:
        return self._begun[-1].index if self._begun else None

    @property
    def _section(self) -> Section | None:
        index = self._index
        return None if self.song is None or index is None else self.song.sections[index]

    def _section_before(self, frame: int) -> Section | None:
        """The section that is played up to a frame."""
        indices = [one.index for one in self._begun if one.frame < frame]
        if self.song is None or not indices or indices[-1] is None:
            return None
        return self.song.sections[indices[-1]]

    @property
    def _timeline(self) -> Timeline:
        timeline = self.engine.timeline
        assert timeline is not None
        return timeline

    def _enter(self, frame: int, index: int | None, edits: list[Edit]) -> None:
        """Begin there, instead of what had begun at that frame or later, if one went back since."""
        melody = self._melody.at(frame)
        for one in self._begun:
            if one.frame >= frame:
                for key in one.keys:
                    self.engine.drop_coming(key, one.frame)
                self._melody.change(one.frame, lambda _: melody)
        self._melody.tell()
        self.engine.apply(edits, frame)
        keys = tuple(edit.key for edit in edits)
        self._begun = [
            *(one for one in self._begun if one.frame < frame),
            Begun(frame, index, keys),
        ]
        self._is_remembered = False

    def _went_back(self, frame: int) -> None:
        section = self._section
        if section is not None and self.engine.timeline is not None:
            first, end = self._opening(section)
            self._is_remembered = self._is_remembered and first < end <= frame

    def _bar_start(self, frame: int, bars: int) -> int:
        """The frame so many bars after a section's beginning."""
        timeline = self._timeline
        # Rounding may have put its beginning a frame before its own bar line.
        return timeline.bar_start_frame(timeline.bar_at(frame + 1) + bars)

    def _memory_at(self, frame: int) -> Memory | None:
        """What is remembered at a frame, if it is one of the song's openings."""
        memory: Memory | None = self.engine.session.stream.score.at("memory", frame)
        return next((one for one in self._memories.values() if one is memory), None)

    def _lay_tune(self, tune: Tune | None, before: Tune | None, frame: int) -> None:
        timeline = self._timeline
        start_beat = timeline.beat_at(timeline.bar_line_at(timeline.bar_at(frame + 1)))

        def turn(state: MelodyState) -> MelodyState:
            if tune is None:
                return state.with_mode("off", frame, timeline)
            notes = tuple(
                PatternNote(pitch, 100, start, min(start + length, tune.loop_beats))
                for start, length, pitch in tune.notes
            )
            pattern = Pattern(start_beat, float(tune.loop_beats), notes)
            return replace(state, mode="file", file=pattern, sounded=())

        if tune is not None or before is not None:
            self._melody.change(frame, turn)
            self._melody.tell()

    def _opening(self, section: Section) -> tuple[int, int]:
        """First frame and end of the bars to remember: after its transition, as many as fit."""
        assert self.song is not None
        begins = self._begun[-1].frame
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
        """Keep the opening of the section that plays, once it is complete."""
        section = self._section
        if section is None or self._is_remembered or self.song is None:
            return
        if section.name not in {one.recall for one in self.song.sections}:
            return
        first, end = self._opening(section)
        store, next_frame = self.engine.session.stream.store, self.engine.next_frame
        if first < end <= store.complete_at(next_frame):
            memory = self.engine.session.remember(first, end - first, next_frame)
            self._memories[section.name] = memory
            self._is_remembered = True

    def _news(self) -> SongNews | None:
        """What plays now, if something else was told."""
        now, before = self._begun[-1] if self._begun else _NOTHING, self._told
        self._told = now
        section = self._section
        if now == before or (now.index is None and before.index is None):
            return None
        if section is None or now.index is None or self.song is None:
            return SongNews(now.frame, None, 0, moves_clock=False)
        told = None if before.index is None else self.song.sections[before.index]
        is_same = told is not None and _clock_of(told) == _clock_of(section)
        return SongNews(now.frame, section, now.index + 1, moves_clock=not is_same)


def _clock_of(section: Section) -> tuple[float, int]:
    return section.bpm, section.beats_per_bar
