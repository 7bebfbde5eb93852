"""What commands act on: the player, the melody, the song, and sessions that can be begun."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import HistoryError
from musicgen_rt.live import jumps, sessions, take
from musicgen_rt.live.asked_tempo import TEMPO_WORDS, is_told_beats, tempo_words
from musicgen_rt.live.controls import Edit, can_follow, checked_whole, parameter_edits
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody_keeper import MelodyKeeper, Turn
from musicgen_rt.live.melody_state import MelodyState
from musicgen_rt.live.model_identity import model_identity
from musicgen_rt.live.player import Clock, Player
from musicgen_rt.live.score import NUM_SLOTS, PARAMETERS, Score
from musicgen_rt.live.session import Session
from musicgen_rt.live.song_keeper import SongKeeper
from musicgen_rt.model.codec_frames import ENCODER_LOOKAHEAD_FRAMES

# How much is kept at a roll is told by a message of its own.
_PARAMETERS = tuple(name for name in PARAMETERS if name != "context_bars")
_SWITCH = {True: "on", False: "off", None: "free"}


class Stage:
    """One performance over one engine at a time. One thread: the engine's.

    Frames are session frames; `stream_frame` and what is called a stream's are not.
    """

    def __init__(
        self,
        engine: Engine,
        buffer: TimelineBuffer,
        timeline: Timeline,
        clock: Clock = time.monotonic,
    ) -> None:
        self.player = Player(engine, buffer, timeline, clock)
        self.melody = MelodyKeeper(engine)
        self.song = SongKeeper(engine, self.melody)
        self.identity = model_identity(engine.model)
        # Whether prompts ask for the tempo, where the model is not told the beats.
        self.asks_tempo = True

    @property
    def engine(self) -> Engine:
        return self.player.engine

    def use(self, engine: Engine) -> None:
        """Go on with another engine, a session of which is to be begun."""
        self.player.use(engine)
        self.melody.engine = engine
        self.song.use(engine)
        self.identity = model_identity(engine.model)

    def set_timeline(self, timeline: Timeline, frame: int) -> None:
        """The session's timeline, which differs from the one before from `frame` on."""
        player = self.player
        player.set_timeline(timeline, frame)
        self.ask_tempo(frame)
        if player.frozen is None:
            self.song.unbegin_moved(self.engine.next_frame + 1)
            self.melody.lay_again(max(player.stream_frame_of(frame), self.engine.next_frame))

    def ask_tempo(self, frame: int) -> None:
        """Let prompts ask for the tempo that the session has, or is going to, from `frame` on."""
        player, score = self.player, self.engine.session.stream.score
        before, words = score.target_at(TEMPO_WORDS, player.stream_end), None
        if self.asks_tempo and not is_told_beats(self.engine.model.config):
            last = player.timeline.segments[-1]
            words = tempo_words(last.bpm, last.beats_per_bar, before)
        if words != before:
            player.apply([Edit(TEMPO_WORDS, words)], max(frame, player.next_frame))

    @contextmanager
    def _keeping_settings(self, frame: int) -> Iterator[None]:
        """Around a jump at `frame`: what is no part of the music holds in what it leads to, too."""
        has_begun, bars = self.engine.timeline is not None, self._context_bars()
        yield
        self.ask_tempo(frame)
        if has_begun and bars != self._context_bars():
            player = self.player
            player.apply(parameter_edits("context_bars", bars, 0), max(frame, player.next_frame))

    def _context_bars(self) -> int:
        """How much is kept at a roll, but at the very frame of a recall, which has its own."""
        score = self.engine.session.stream.score
        return int(score.target_at("context_bars", self.player.stream_end + 1))

    # Jumps: from `frame` on

    def begin(
        self,
        session: Session,
        stream_frame: int,
        frame: int,
        melody: MelodyState | None = None,
        *,
        takes_hands: bool = False,
    ) -> None:
        """Play what a session makes from one of its frames on, with that melody or the present.

        With `takes_hands` the keys that are held now are held in another melody, too.
        """
        hands = self.melody.at(self.player.stream_end) if takes_hands else None
        if melody is None and self.engine.timeline is not None:
            melody = self._lifted(frame)
        self.song.leave()
        with self._keeping_settings(frame):
            jumps.begin(self.player, session, stream_frame, frame)
        self.melody.begin(melody or MelodyState(), stream_frame, hands)

    def begin_continued(self, session: Session, stream_frame: int, frame: int) -> None:
        """Play what continues a file, under the controls that stand by then."""
        sessions.put_under(session, self.engine, self.controls_now())
        self.begin(session, stream_frame, frame)

    def undo(self, bars: int, frame: int) -> None:
        """Raises HistoryError."""
        hands = self.melody.at(self.player.stream_end)
        with self._keeping_settings(frame):
            jumps.undo(self.player, bars, frame)
        self.melody.go_back(self.player.splice.stream_frame, hands)
        self.song.go_back(self.player.splice.stream_frame)

    def retry(self, bars: int, frame: int) -> None:
        """Raises HistoryError."""
        self.restart(jumps.bars_back(self.player, bars, frame), frame)

    def infill(self, bars: range, of_bars: int, frame: int) -> int:
        """Where the new bars are heard. Raises UnsupportedError, HistoryError."""
        seed = self.next_seed()
        return jumps.infill(self.player, bars, of_bars, frame, seed, self.song.unbegin)

    def freeze(self, bars: int, frame: int) -> None:
        """Repeat the last bars. Raises ParameterError, HistoryError."""
        jumps.freeze(self.player, bars, frame)
        self.song.unbegin(self.player.splice.stream_frame)

    def release(self, frame: int) -> None:
        """Play what follows the loop's last bar. Raises ParameterError without a loop."""
        player, before = self.player, self.engine.timeline
        if player.frozen is not None:
            self.melody.change(player.splice.stream_frame, self._landing(frame))
            self.melody.tell()
        jumps.release(player, frame)
        if self.engine.timeline != before:
            # What is made already stays only if its beats are those of the new one, too.
            self.melody.lay_again(self.engine.next_frame)

    def restart(self, stream_frame: int, frame: int) -> None:
        """Play something else after a frame of the stream. Raises HistoryError."""
        source = self.player.stream_frame_of(frame)
        checked_whole("stream_frame", stream_frame, 0, source)
        self.engine.session.require(stream_frame)
        seed = self.next_seed()
        # What is made but not heard before `frame` is not of the controls that stand there.
        self.song.unbegin(source)
        melody = self._lifted(frame)
        jumps.restart(self.player, stream_frame, frame, seed)
        self.song.take_along(stream_frame, self.melody.put_down(melody, stream_frame))

    # What is played while a loop is heard

    def place_heard_at(self, frame: float) -> float:
        """Where the stream is when a frame is heard, between two of its frames as a rule.

        In a loop it lies as far beyond where the stream waits as has been heard of it, in beats.
        """
        player, timeline = self.player, self.engine.timeline
        if player.frozen is None or timeline is None:
            return max(0.0, player.stream_place_of(frame))
        waits_at = timeline.beat_at(player.splice.stream_frame)
        return max(0.0, timeline.frame_at(waits_at + self._looped_beats(frame)))

    def _landing(self, frame: int) -> Turn:
        """What becomes of a melody that was played in a loop when the stream goes on at `frame`.

        It lies as long before that as it was heard before `frame`.
        """
        timeline = self.engine.timeline
        if self.player.frozen is None or timeline is None:
            return lambda state: state
        waits_at = timeline.beat_at(self.player.splice.stream_frame)
        # Bar lines lie up to half a frame beside their frames.
        beats = max(0, round(self._looped_beats(frame)))
        return lambda state: state.with_later_moved(waits_at, -beats)

    def _lifted(self, frame: int) -> MelodyState:
        return self.melody.lifted(self.player.stream_frame_of(frame), turn=self._landing(frame))

    def _looped_beats(self, frame: float) -> float:
        """How much of the loop that plays has been heard at `frame`."""
        timeline = self.player.timeline
        return timeline.beat_at(frame) - timeline.beat_at(self.player.splice.session_frame)

    def next_seed(self) -> int:
        """Another seed, always the same one after the present one."""
        seed = int(self.engine.session.stream.score.at("seed", self.player.stream_end))
        return (seed * 6364136223846793005 + 1442695040888963407) % 2**63

    def change_over(self, engine: Engine, frame: int) -> None:
        """Play on with another model, from the sound of the bars before `frame`.

        Raises what the model does with them; the old one plays on then.
        """
        player, controls = self.player, self.controls_now()
        context_frames = round(engine.options.context_seconds * player.pace.frame_rate_hz)
        first = max(0, player.timeline.whole_bars_before(frame, context_frames))
        # What follows is dropped again: the end of a waveform is coded badly.
        count = (frame + ENCODER_LOOKAHEAD_FRAMES - first) * player.hop_samples
        samples = player.buffer.peek(first * player.hop_samples, count)
        session, stream_frame = sessions.fresh(engine, controls), 0
        if samples.shape[1] >= (frame - first) * player.hop_samples > 0:
            whole = np.pad(samples, ((0, 0), (0, count - samples.shape[1])))
            rate_hz = player.buffer.rate_hz
            session, stream_frame = sessions.after_audio(engine, whole, rate_hz)
            sessions.put_under(session, engine, controls)
        melody = self._lifted(frame)
        if not can_follow(engine.model.config):
            melody = MelodyState()
        self.use(engine)
        self.begin(session, stream_frame, frame, melody)

    # Sessions

    def controls_now(self) -> Score:
        """The controls that stand now, from frame 0 on."""
        end = self.player.stream_end
        return self.engine.session.stream.score.excerpt(end, end, end)

    def fresh_session(self, keys: tuple[str, ...] = ("",)) -> Session:
        """A new beginning, under those controls that stand now whose keys begin so."""
        return sessions.fresh(self.engine, self.controls_now(), keys)

    def session_after_file(self, path: Path) -> tuple[Session, int]:
        """One that continues an audio file, and the stream's frame where it does.

        It is for `begin_continued`. Raises AudioFileError or ParameterError.
        """
        return sessions.after_file(self.engine, path)

    def session_of(self, kept: take.Take) -> tuple[Session, int, MelodyState]:
        """One that goes on from a take, where it does, and its melody. Raises CheckpointError."""
        session = take.begin(self.engine, kept, self.identity)
        return session, kept.frames, MelodyState.from_json(kept.extra["melody"])

    # Takes

    def newest_bar(self) -> int | None:
        """The stream's last bar line up to which everything is made."""
        timeline, store = self.engine.timeline, self.engine.session.stream.store
        if timeline is None or self.player.frozen is not None:
            return None
        bar = timeline.last_bar_start_at_or_before(store.complete_frames)
        return bar if bar >= max(1, store.first_frame) else None

    def heard_bar(self) -> int:
        """The stream's bar line that was heard last."""
        player, timeline = self.player, self.engine.timeline
        heard = int(player.heard_frame())
        if player.frozen is not None or heard < player.splice.session_frame or timeline is None:
            return player.splice.stream_frame
        bar = timeline.last_bar_start_at_or_before(player.stream_frame_of(heard))
        return max(bar, 0)

    def take(self, stream_frame: int) -> take.Take:
        """The music up to a bar line, with the controls that stand now.

        Raises HistoryError; NonFiniteError where a loop plays.
        """
        controls_at = self.player.stream_end
        store = self.engine.session.stream.store
        if self.player.frozen is not None and stream_frame > store.complete_frames:
            # What was changed since has the stream wait before its last frames are whole.
            self.engine.step(stream_frame - store.complete_frames)
        complete = store.complete_frames
        if stream_frame > complete:
            raise HistoryError(
                f"the music up to frame {stream_frame} is not made yet, only up to {complete}: "
                "try again in a moment"
            )
        line = self.player.timeline.last_bar_start_at_or_before(int(self.player.heard_frame()))
        melody = self.melody.lifted(controls_at, stream_frame, self._landing(line)).to_json()
        extra = {"melody": melody, "song_usual": dict(self.song.usual)}
        return take.capture(self.engine, stream_frame, controls_at, self.identity, extra)

    # Read-outs

    def controls(self) -> dict[str, Any]:
        """All controls as they stand, or where they are going to, as control's state has them."""
        player, config = self.player, self.engine.model.config
        score, end = self.engine.session.stream.score, player.stream_end
        names = config.frame_conditioning.attributes if config.frame_conditioning else ()
        melody = self.melody.at(end)
        slots = range(NUM_SLOTS)
        return {
            "prompts": {str(slot): score.target_at(f"prompt/{slot}", end) for slot in slots},
            "weights": {str(slot): score.target_at(f"weight/{slot}", end) for slot in slots},
            "negative": score.target_at("negative", end),
            "params": {name: score.target_at(name, end) for name in _PARAMETERS},
            "attributes": {
                name: _SWITCH[score.target_at(f"attribute/{name}", end)] for name in names
            },
            "melody": {
                "mode": melody.mode,
                "file": melody.file_name,
                "loop_bars": melody.loop_bars,
                "line": melody.line,
                "release": melody.release,
            },
            "frozen": player.frozen is not None,
        }
