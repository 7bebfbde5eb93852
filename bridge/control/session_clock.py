"""The session's time: the one true timeline, which source moves it, and where bars count from."""

from __future__ import annotations

import math
from bisect import bisect_right
from fractions import Fraction
from typing import Any

from bridge.clock.anchor import Anchor
from bridge.clock.plan import Plan, keeping
from bridge.clock.source import ClockSource, ClockSources
from musicgen_rt.contract.timeline import Timeline

# Each change of tempo is a segment of the timeline, which every process reads anew: a fader that
# is moved makes no more than these.
_MIN_TEMPO_GAP_NS = 200_000_000
_KEPT_SECONDS = 30
_RAMP_STEP_FRAMES = 12
_MAX_RAMP_STEPS = 100
# Requests for nearly the same moment, such as a bar line, are for the same one.
_SAME_MOMENT_NS = 10_000_000
_MAX_DUE_TEMPI = 64
# A beat's frame is computed, and a position measured: they may differ in their last digits.
_TOLERANCE_BEATS = 1e-6


class SessionClock:
    """Timeline, clock source and count of bars. [control]"""

    def __init__(self, timeline: Timeline, sources: ClockSources, source_name: str) -> None:
        """Raises Refusal if the source does not exist."""
        self.timeline = timeline
        self._sources = sources
        self.source: ClockSource = sources.make(source_name, self._anchor(0.0, 0))
        self._origins = [(timeline.segments[0].frame, 0)]  # frame and bar that counting begins at
        self._waiting_bpm: float | None = None
        self._changed_ns: int | None = None
        # Tempi that the source is to be given, and when.
        self._due_tempi: list[tuple[int, float]] = []
        # What the output is later than it says, as `musicgen-rt calibrate` measured it.
        self.output_latency_ms = 0.0

    def choose(self, name: str, heard_frame: float, time_ns: int) -> None:
        """Let another source say where the beats are, from where the session is heard now.

        Raises Refusal if it does not exist.
        """
        if name == self.source.name:
            return
        source = self._sources.make(name, self._anchor(heard_frame, time_ns))
        self.source.stop()
        self.source = source
        self._waiting_bpm = None
        self._due_tempi.clear()

    def _anchor(self, frame: float, time_ns: int) -> Anchor:
        """The session's own place in the bar at a frame, as a host would tell it."""
        _, place = self.timeline.bar_position_at(frame)
        last = self.timeline.segments[-1]
        return Anchor(time_ns, place, last.bpm, beats_per_bar=last.beats_per_bar)

    # Changes

    def begin(self, frame_rate_hz: Fraction) -> None:
        """The frame rate turns out to be another before anything was heard: begin anew."""
        first = self.timeline.segments[0]
        self.timeline = Timeline.start(first.bpm, first.beats_per_bar, frame_rate_hz=frame_rate_hz)
        self._origins = [(0, 0)]

    def set_tempo(self, bpm: float, frame: int, ramp_frames: int = 0) -> None:
        """Another tempo from `frame` on, reached over a ramp: in steps too small to hear."""
        self._waiting_bpm = None
        before = self.timeline
        steps = min(_MAX_RAMP_STEPS, ramp_frames // _RAMP_STEP_FRAMES)
        first_bpm = before.bpm_at(frame)
        for step in range(steps):
            # Each step has the tempo of its middle, so that the ramp is as long as it should be.
            step_bpm = first_bpm + (bpm - first_bpm) * (step + 0.5) / steps
            at_frame = frame + step * ramp_frames // steps
            self.timeline = self.timeline.with_tempo(at_frame, bpm=step_bpm)
        end_frame = frame + (ramp_frames if steps else 0)
        after = self.timeline.with_tempo(end_frame, bpm=bpm)
        self.timeline = keeping(before, after, frame, Plan.SIGNATURE | Plan.PLACE)

    def ramp_frames(self, bpm: float, frame: int, ramp_beats: float) -> int:
        """As long as so many beats take on the way from the tempo at `frame` to another one."""
        mean_bpm = (self.timeline.bpm_at(frame) + bpm) / 2
        return round(ramp_beats * 60 / mean_bpm * self.timeline.frame_rate_hz)

    def set_tempo_soon(self, bpm: float, frame: int, now_ns: int) -> bool:
        """Another tempo from `frame` on, or a little later if one has just been set.

        True if the timeline has changed, False if `take_waiting` will do it.
        """
        if self._changed_ns is not None and now_ns - self._changed_ns < _MIN_TEMPO_GAP_NS:
            self._waiting_bpm = bpm
            return False
        self._changed_ns = now_ns
        self.set_tempo(bpm, frame)
        return True

    def take_waiting(self, frame: int, now_ns: int) -> bool:
        """Do what `set_tempo_soon` put off, if it is time; whether the timeline has changed."""
        if self._waiting_bpm is None:
            return False
        return self.set_tempo_soon(self._waiting_bpm, frame, now_ns)

    def tell_tempo_at(self, bpm: float, at_ns: int) -> None:
        """Give the host that is followed another tempo at a moment to come.

        It takes the place of those asked for from then on. Raises Refusal if the tempo is the
        host's own business.
        """
        self.source.require_tempo(bpm)
        sooner = [one for one in self._due_tempi if one[0] < at_ns - _SAME_MOMENT_NS]
        self._due_tempi = [*sooner, (at_ns, bpm)][-_MAX_DUE_TEMPI:]

    def tell_tempo(self, bpm: float, now_ns: int) -> float:
        """Give the source another tempo now; the one that it takes. Raises Refusal."""
        taken = self.source.tempo(bpm, now_ns)
        self._due_tempi.clear()
        return taken

    def tell_due_tempo(self, now_ns: int) -> float | None:
        """Give the host what it is due to be given; the tempo that it takes. Raises Refusal."""
        taken = None
        while self._due_tempi and self._due_tempi[0][0] <= now_ns:
            _, bpm = self._due_tempi.pop(0)
            taken = self.source.tempo(bpm, now_ns)
        return taken

    def set_signature(self, beats_per_bar: int, frame: int) -> None:
        """Another number of beats in a bar from `frame` on; a ramp goes on."""
        after = self.timeline.with_tempo(frame, beats_per_bar=beats_per_bar)
        self.timeline = keeping(self.timeline, after, frame, Plan.TEMPO | Plan.PLACE)

    def restart(self, frame: int) -> None:
        """Bar 1 begins at `frame`; a ramp and a signature to come stay."""
        after = self.timeline.with_position(frame, 0)
        self.timeline = keeping(self.timeline, after, frame, Plan.TEMPO | Plan.SIGNATURE)
        bar, _ = self.timeline.bar_position_at(frame)
        kept = [origin for origin in self._origins if origin[0] < frame]
        self._origins = [*kept[-1:], (frame, bar)]

    def forget_before(self, frame: float) -> None:
        """Drop what nobody looks back to."""
        kept_frames = _KEPT_SECONDS * self.timeline.frame_rate_hz
        if frame > kept_frames:
            self.timeline = self.timeline.forget_before(int(frame - kept_frames))

    def message(self, frame: int) -> dict[str, Any]:
        """What the children are told of a change from `frame` on."""
        return {"type": "timeline", "timeline": self.timeline.to_json(), "frame": frame}

    # Places

    def place_at(self, frame: float) -> tuple[int, int]:
        """Bar and beat at a frame, both counted from 1, as musicians do."""
        bar, beats = self.timeline.bar_position_at(frame)
        bar -= self._origin_bar(frame)
        beat = math.floor(beats + _TOLERANCE_BEATS)
        if beat >= self.timeline.clock_at(frame).beats_per_bar:
            return bar + 2, 1
        return bar + 1, beat + 1

    def whole_beat_at(self, frame: float) -> int:
        """The number of the beat that has begun at a frame."""
        return math.floor(self.timeline.beat_at(frame) + _TOLERANCE_BEATS)

    def next_beat(self, first_frame: int) -> float:
        """The place, in frames, of the first beat whose frame is not before `first_frame`."""
        beat = math.floor(self.timeline.beat_at(first_frame))
        while round(place := self.timeline.frame_at(beat)) < first_frame:
            beat += 1
        return place

    def next_bar(self, first_frame: int, multiple: int) -> tuple[int, float]:
        """The first bar not before `first_frame` that begins a row of so many.

        Its first frame, and the exact place of its line in frames.
        """
        bar, _ = self.timeline.bar_position_at(first_frame)
        if self.timeline.bar_start_frame(bar) < first_frame:
            bar += 1
        origin = self._origin_bar(first_frame)
        found = origin - (origin - bar) // multiple * multiple
        return self.timeline.bar_start_frame(found), self.timeline.bar_line_at(found)

    def bars_between(self, first_frame: float, end_frame: float) -> float:
        """The length of a stretch in bars of its end."""
        beats = self.timeline.beat_at(end_frame) - self.timeline.beat_at(first_frame)
        return beats / self.timeline.clock_at(end_frame).beats_per_bar

    def _origin_bar(self, frame: float) -> int:
        index = bisect_right(self._origins, frame, key=lambda origin: origin[0]) - 1
        return self._origins[max(0, index)][1]
