"""The engine as it is heard: in session frames, with splices, written into the timeline buffer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.beat_follower import BeatFollower
from musicgen_rt.live.buffer_writer import BufferWriter, Samples, Written, is_moving
from musicgen_rt.live.controls import Edit
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.frozen_loop import FrozenLoop
from musicgen_rt.live.pace import Pace
from musicgen_rt.live.splice import Splice

Clock = Callable[[], float]

# A loop is copied on in pieces of this length.
_LOOP_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class Heard:
    """What one turn made: `samples` [C, N] at a session sample, and what came into the buffer."""

    first_sample: int
    samples: Samples
    written: Written | None


class Player:
    """One engine and the buffer it plays into. One thread: the engine's.

    Frames are session frames where nothing else is said. What is heard before the splice in force
    is settled: nothing can be changed there any more.
    """

    def __init__(
        self,
        engine: Engine,
        buffer: TimelineBuffer,
        timeline: Timeline,
        clock: Clock = time.monotonic,
    ) -> None:
        self.writer = BufferWriter(buffer)
        self.beats = _follower_of(engine, buffer)
        self.use(engine)
        self.timeline = timeline
        self.pace = Pace(engine.model.config.frame_rate_hz, self.settle_frames)
        self.splice = Splice(0, 0)
        self.frozen: FrozenLoop | None = None
        self._clock = clock

    def use(self, engine: Engine) -> None:
        """Go on with another engine, of the same rates and channels, at the next splice."""
        self.engine = engine
        self._session = engine.session
        self.hop_samples = engine.model.config.hop_samples
        is_on = self.beats.is_on
        self.beats = _follower_of(engine, self.writer.buffer)
        self.beats.is_on = is_on

    # Where it stands

    @property
    def buffer(self) -> TimelineBuffer:
        return self.writer.buffer

    @property
    def settle_frames(self) -> int:
        """How many more frames must have begun before one is final as sound."""
        model = self.engine.model
        waiting_frames = math.ceil(self.beats.latency_samples / self.hop_samples)
        return max(model.config.lm.delays) + model.codec.lookahead_frames + waiting_frames

    @property
    def next_frame(self) -> int:
        """The next frame to be decided: where a change needs no going back."""
        if self.frozen is not None:
            return math.ceil(self.writer.end_sample / self.hop_samples)
        return self.session_frame_of(self.engine.next_frame)

    @property
    def stream_end(self) -> int:
        """The stream's frame that follows what is heard: where a change now belongs to."""
        if self.frozen is not None:
            return self.splice.stream_frame
        return self.engine.next_frame

    def free_frame(self, after_frames: int = 0) -> int:
        """The first frame that a change can still be heard from, computing time allowed for.

        `after_frames` is how long it takes besides to be begun.
        """
        reachable = min(self._reachable_frame(after_frames), self.next_frame)
        return max(reachable, self.splice.session_frame)

    def free_bar(self, after_frames: int = 0) -> int:
        """The first frame on a bar line from which something else can be heard.

        `after_frames` is how long it takes besides to be begun.
        """
        frame = max(self._reachable_frame(after_frames), self.splice.session_frame)
        return self.timeline.next_bar_start_at_or_after(frame)

    def first_bar(self) -> int:
        """Where to begin when nothing is there yet: on the bar line before a playhead that stands.

        What lies before the playhead is made and never heard; the place in the bar is right.
        """
        snapshot = self.buffer.snapshot()
        if is_moving(snapshot):
            return self.free_bar()
        frame = snapshot.commit_sample // self.hop_samples
        return max(0, self.timeline.last_bar_start_at_or_before(frame))

    def _reachable_frame(self, after_frames: int = 0) -> int:
        snapshot = self.buffer.snapshot()
        commit_frame = math.ceil(snapshot.commit_sample / self.hop_samples)
        if not is_moving(snapshot):
            return commit_frame
        return commit_frame + self.pace.margin_frames + after_frames

    @property
    def can_go_back(self) -> bool:
        """Whether what is written lasts until what is made in its place can be heard.

        Not while an earlier change is still on its way: that one could never arrive.
        """
        snapshot = self.buffer.snapshot()
        if not is_moving(snapshot):
            return True
        lasts_frames = (self.writer.end_sample - snapshot.commit_sample) / self.hop_samples
        return not self.writer.is_holding and lasts_frames >= self.pace.rewrite_frames

    def now(self) -> float:
        """The moment, in seconds of its clock."""
        return self._clock()

    def heard_frame(self) -> float:
        """What is heard right now, as a frame."""
        snapshot = self.buffer.snapshot()
        if snapshot.dac_sample is None or snapshot.dac_time_ns is None:
            return snapshot.reader_sample / self.hop_samples
        elapsed_seconds = self._clock() - snapshot.dac_time_ns / 1e9
        sample = snapshot.dac_sample + max(0.0, elapsed_seconds) * self.buffer.rate_hz
        # While the playhead stands still, or the estimate is old, it is not ahead of the reader.
        return min(sample, float(snapshot.reader_sample)) / self.hop_samples

    def lead_frames(self) -> float:
        """How far beyond the playhead to make music: what is asked for, and no less than safe."""
        snapshot = self.buffer.snapshot()
        committed = (snapshot.commit_sample - snapshot.reader_sample) / self.hop_samples
        least = committed + self.pace.reserve_frames + self.pace.chunk_frames
        return max(least, float(self.pace.lead_frames))

    def ahead_frames(self) -> float:
        """How far the music is made beyond the playhead."""
        reader = self.buffer.snapshot().reader_sample
        return (self.writer.end_sample - reader) / self.hop_samples

    def stream_frame_of(self, frame: int) -> int:
        """The stream's frame that is heard at a frame; within a loop, the one that follows it."""
        if self.frozen is not None:
            return self.splice.stream_frame
        return round(self.stream_place_of(frame))

    def stream_place_of(self, frame: float) -> float:
        """Where the stream is when a frame is heard, between two of its frames as a rule."""
        return self.beats.map.to_stream(frame * self.hop_samples) / self.hop_samples

    def session_frame_of(self, stream_frame: int) -> int:
        """The frame at which a frame of the stream is heard."""
        return round(self.beats.map.to_session(stream_frame * self.hop_samples) / self.hop_samples)

    @property
    def is_behind(self) -> bool:
        """Whether the playhead has passed all that is written and made: a hole."""
        snapshot = self.buffer.snapshot()
        end_sample = max(snapshot.written_end, self.writer.end_sample)
        return is_moving(snapshot) and snapshot.commit_sample > end_sample

    # Making music

    def play(self, max_frames: int) -> Heard:
        """Make up to `max_frames` more. Raises NonFiniteError; BehindCommitError at a hole."""
        if self.frozen is not None:
            return self._play_loop(self.frozen)
        started, is_filled = self._clock(), self.engine.is_about_to_fill
        frames = max(1, min(max_frames, self.pace.chunk_frames))
        chunk = self.engine.step(frames)
        self.pace.add(frames, self._clock() - started, is_filled=is_filled)
        first = self.beats.map.session_end
        # What is left out must be made besides, well before the music runs dry.
        spare_frames = self.ahead_frames() / 2 * self.pace.steps_per_second
        self.beats.spare_samples = spare_frames / self.pace.frame_rate_hz * self.hop_samples
        samples = self.beats.push(chunk.samples, self.engine.timeline, self.timeline)
        self.pace.settle_frames = self.settle_frames
        return Heard(first, samples, self._put(samples))

    def _play_loop(self, loop: FrozenLoop) -> Heard:
        first = self.writer.end_sample
        samples = loop.samples(first, round(_LOOP_PIECE_SECONDS * self.buffer.rate_hz))
        return Heard(first, samples, self._put(samples))

    def flush(self) -> Written | None:
        """Write what waits for room, or for the playhead to get there; what came to be written."""
        return self.writer.flush(self.pace.reserve_frames * self.hop_samples)

    def _put(self, samples: Samples) -> Written | None:
        return self.writer.put(samples, self.pace.reserve_frames * self.hop_samples)

    # Changes

    def go_back(self, frame: int, heard_from: int | None = None) -> None:
        """Make `frame` the next one to be decided, if it is not yet. Raises HistoryError.

        What is made anew is heard from the first sample that differs on, which is some frames
        earlier: finer codebooks and the decoder look ahead. With `heard_from` it is heard in full
        from that session sample on, and not before the crossfade into it.
        """
        stream_frame = self.open_frame_of(frame)
        if stream_frame >= self.engine.next_frame:
            return
        self.engine.rollback(stream_frame)
        heard_at = round(self.beats.map.to_session(self.engine.next_sample))
        self.beats.rewind(self.engine.next_sample)
        if heard_from is not None:
            faded_from = min(heard_from - self.writer.fade_samples, self.writer.end_sample)
            heard_at = max(heard_at, faded_from)
        if self.frozen is None:
            # What is made again may still have waited to be stretched: that is not written yet.
            self._redirect(min(heard_at, self.writer.end_sample))

    def apply(self, edits: list[Edit], frame: int) -> None:
        """Edits of the score from `frame` on, which is `next_frame` or later."""
        self.engine.apply(edits, self.open_frame_of(frame))

    def open_frame_of(self, frame: int) -> int:
        """The stream's frame heard at a frame, or the first that is not given and so can change.

        A stream that was joined begins with codes that are what they are, and its sound with them.
        """
        return max(self.stream_frame_of(frame), self.engine.earliest_return)

    def set_timeline(self, timeline: Timeline, frame: int) -> None:
        """Beats and bars are those of `timeline` from now on; it differs from `frame` on."""
        self.timeline = timeline
        if self.frozen is not None:
            self.frozen.timeline = timeline
            # What is copied ahead is of the other beats: it is copied again.
            sample = max(frame, self.free_frame()) * self.hop_samples
            if sample < self.writer.end_sample:
                self.writer.redirect(sample, sample)
            return
        frame = max(frame, self.splice.session_frame)
        if frame < self.next_frame:
            frame = max(frame, self.free_frame())
            if self.can_go_back:
                self.go_back(frame)
            else:
                frame = self._stretch_queued(frame)
        at_frame = self.open_frame_of(frame)
        before = self.engine.timeline
        self.engine.join_timeline(timeline, frame, at_frame=at_frame)
        if before is not None and self.engine.timeline is not None:
            at_sample = at_frame * self.hop_samples
            self.beats.clock_changed(at_sample, before, self.engine.timeline)

    def _stretch_queued(self, frame: int) -> int:
        """Bring what is made already to the new beats from `frame` on; where new music begins."""
        asked = self.engine.timeline
        if asked is None:
            return self.next_frame
        # What is not complete as sound yet comes under the new beats anyway.
        heard_at = min(frame * self.hop_samples, self.writer.end_sample)
        samples = self.beats.warp_again(heard_at, asked, self.timeline)
        self.writer.redirect(self.beats.map.session_end - samples.shape[1], heard_at)
        self._put(samples)
        return self.next_frame

    def splice_at(self, frame: int, stream_frame: int, *, joined_at: int | None = None) -> None:
        """From `frame` on one hears the stream from a frame on; the engine stands there.

        Its timeline is the session's from the stream's frame `joined_at` on, by default the same.
        """
        joined_at = stream_frame if joined_at is None else joined_at
        self.frozen = None
        self.splice = Splice(frame, stream_frame)
        if self._session is not self.engine.session:
            self._session = self.engine.session
            self.beats.forget()
        first = self.engine.next_sample
        heard_at = first + self.splice.frames_on * self.hop_samples
        self.beats.begin(first, heard_at)
        other_frame = self.splice.to_session(joined_at)
        self.engine.join_timeline(self.timeline, other_frame, at_frame=joined_at)
        self._redirect(heard_at)

    def loop(self, loop: FrozenLoop, frame: int) -> None:
        """From `frame` on one hears a loop; the stream waits where it is then."""
        self.splice = Splice(frame, self.stream_frame_of(frame))
        self.frozen = loop
        seam = loop.place.start_of(self.timeline, 0) - self.writer.fade_samples
        self.writer.redirect(seam, seam)

    def _redirect(self, heard_at: int) -> None:
        """What the engine gives out next goes to its place, over what is there from `heard_at` on.

        What is stretched begins a little earlier, with what was heard there before.
        """
        start = self.splice.session_frame * self.hop_samples
        # The stream's own past, where it has one, leads into a splice.
        from_sample = max(heard_at, start - self.writer.fade_samples)
        self.writer.redirect(self.beats.map.session_end, from_sample)


def _follower_of(engine: Engine, buffer: TimelineBuffer) -> BeatFollower:
    config = engine.model.config
    conditioning = config.frame_conditioning
    is_told = conditioning is not None and conditioning.clock is not None
    return BeatFollower(buffer.rate_hz, buffer.channels, config.hop_samples, is_told=is_told)
