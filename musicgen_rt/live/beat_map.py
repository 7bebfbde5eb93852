"""Which sample of the stream is heard at which sample of the session, when audio is stretched."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Stretch:
    """The stream's samples [first, end) are heard as the session's [first, end), evenly."""

    stream_first: int
    stream_end: int
    session_first: int
    session_end: int

    @property
    def is_plain(self) -> bool:
        """Whether the samples are heard as they are."""
        return self.stream_end - self.stream_first == self.session_end - self.session_first

    @property
    def is_left_out(self) -> bool:
        """Whether these samples of the stream are not heard at all."""
        return self.session_first == self.session_end

    @property
    def rate(self) -> float:
        """Stream samples a session sample: above 1 the music is hastened; inf: left out."""
        if self.is_left_out:
            return math.inf
        return (self.stream_end - self.stream_first) / (self.session_end - self.session_first)


@dataclass(frozen=True)
class BeatMap:
    """Stretches that join, from where the stream was last joined to the session. A value.

    Before the first and behind the last stretch one sample is one sample.
    """

    stream_origin: int
    session_origin: int
    stretches: tuple[Stretch, ...] = ()

    @property
    def stream_end(self) -> int:
        """The first stream sample that has no place of its own yet."""
        return self.stretches[-1].stream_end if self.stretches else self.stream_origin

    @property
    def session_end(self) -> int:
        """Where that sample will be heard."""
        return self.stretches[-1].session_end if self.stretches else self.session_origin

    def to_session(self, stream_sample: float) -> float:
        """Where a stream sample is heard."""
        if not self.stretches or stream_sample < self.stretches[0].stream_first:
            return stream_sample - self._first.stream_first + self._first.session_first
        if stream_sample >= self.stream_end:
            return stream_sample - self.stream_end + self.session_end
        at = bisect_right(self.stretches, stream_sample, key=lambda one: one.stream_first) - 1
        one = self.stretches[at]
        return one.session_first + (stream_sample - one.stream_first) / one.rate

    def to_stream(self, session_sample: float) -> float:
        """Which stream sample is heard at a session sample; the inverse of `to_session`."""
        if not self.stretches or session_sample < self.stretches[0].session_first:
            return session_sample - self._first.session_first + self._first.stream_first
        if session_sample >= self.session_end:
            return session_sample - self.session_end + self.stream_end
        at = bisect_right(self.stretches, session_sample, key=lambda one: one.session_first) - 1
        one = self.stretches[at]
        return one.stream_first + (session_sample - one.session_first) * one.rate

    @property
    def rate(self) -> float:
        """That of the last stretch that is heard; 1 before any."""
        heard = (one.rate for one in reversed(self.stretches) if not one.is_left_out)
        return next(heard, 1.0)

    @property
    def last_left_out(self) -> int:
        """The stream's sample behind the last stretch that is not heard, or where this begins."""
        ends = (one.stream_end for one in reversed(self.stretches) if one.is_left_out)
        return next(ends, self._first.stream_first)

    def with_stretch(self, stream_count: int, session_count: int) -> BeatMap:
        """One more stretch behind the last; two plain ones in a row become one."""
        new = Stretch(
            self.stream_end,
            self.stream_end + stream_count,
            self.session_end,
            self.session_end + session_count,
        )
        last = self.stretches[-1] if self.stretches else None
        if last is not None and last.is_plain and new.is_plain:
            new = replace(last, stream_end=new.stream_end, session_end=new.session_end)
            return replace(self, stretches=(*self.stretches[:-1], new))
        return replace(self, stretches=(*self.stretches, new))

    def cut(self, stream_sample: int) -> BeatMap:
        """Without what lies behind a stream sample; a stretch is dropped whole, a plain one cut."""
        kept = [one for one in self.stretches if one.stream_end <= stream_sample]
        later = self.stretches[len(kept) : len(kept) + 1]
        for one in later:
            if one.is_plain and one.stream_first < stream_sample:
                end = one.session_first + stream_sample - one.stream_first
                kept.append(replace(one, stream_end=stream_sample, session_end=end))
        return replace(self, stretches=tuple(kept))

    def forget_before(self, stream_sample: int) -> BeatMap:
        """Without stretches that end before a stream sample; what is left keeps its places."""
        kept = tuple(one for one in self.stretches if one.stream_end > stream_sample)
        if len(kept) == len(self.stretches):
            return self
        return (
            BeatMap(self.stream_end, self.session_end)
            if not kept
            else replace(self, stretches=kept)
        )

    @property
    def _first(self) -> Stretch:
        if self.stretches:
            return self.stretches[0]
        origin, session = self.stream_origin, self.session_origin
        return Stretch(origin, origin, session, session)
