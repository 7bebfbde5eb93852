"""How fast the engine is, and what follows from it: how far ahead, how soon, how much at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from musicgen_rt.live.controls import checked_whole

LEAD_MS_RANGE = (100, 20_000)
DEFAULT_LEAD_MS = 2000

# A call of the engine lasts about this long, so that commands need not wait for longer.
_CALL_SECONDS = 0.04
_CHUNK_FRAMES_RANGE = (2, 16)
# While nothing is known about the speed: a little faster than the music.
_FIRST_GUESS = 1.5
# The weight of the newest measurement, for chunks of ten frames.
_NEWEST_PART = 0.2
_TYPICAL_FRAMES = 10
_SHORTEST_STEP_SECONDS = 1e-4
_OUTLIER = 4.0
_SAFETY = 1.5
# What is known to take a while may take that long again; one odd one says little.
_FILL_KEPT_PART = 0.9
_LONGEST_HALF_LIFE_SECONDS = 30.0
_MOST_GROWTH, _MOST_GROWTH_SECONDS = 2.0, 0.02
# A jump of a kind that was not made yet: about what can be made again instead of being read.
_FIRST_JUMP_STEPS = 64
_JUMP_KEPT_PART, _LONGEST_JUMP_SECONDS = 0.8, 2.0


@dataclass
class Pace:
    """Measured speed and what is asked for. One thread: the engine's.

    `settle_frames` is how many more frames must have begun before one is final as audio.
    """

    frame_rate_hz: float
    settle_frames: int
    lead_ms: int = DEFAULT_LEAD_MS
    steps_per_second: float = 0.0
    # What a call that begins with filling a cache takes longer than its steps.
    fill_seconds: float = 0.0
    # The longest call of late that did not begin so: rolling the window on is part of some.
    longest_seconds: float = 0.0
    # From jumps of each kind to the first music of where they lead.
    jump_seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.steps_per_second = self.steps_per_second or _FIRST_GUESS * self.frame_rate_hz

    def set_lead(self, lead_ms: int) -> None:
        """Raises ParameterError for a lead out of range."""
        self.lead_ms = checked_whole("lead_ms", lead_ms, *LEAD_MS_RANGE)

    def add(self, frames: int, seconds: float, *, is_filled: bool = False) -> None:
        """So many steps took so long, the filling of a cache before them included."""
        slowness = 1 / self.steps_per_second
        if is_filled:
            extra = max(0.0, seconds - frames * slowness)
            self.fill_seconds = _longest(self.fill_seconds, extra, _FILL_KEPT_PART)
        else:
            half_lives = frames / self.frame_rate_hz / _LONGEST_HALF_LIFE_SECONDS
            self.longest_seconds = _longest(self.longest_seconds, seconds, 0.5**half_lives)
        # A single slow call, as when a window is filled, says little about the next one.
        measured = min(max(seconds / frames, _SHORTEST_STEP_SECONDS), _OUTLIER * slowness)
        part = 1 - (1 - _NEWEST_PART) ** (frames / _TYPICAL_FRAMES)
        self.steps_per_second = 1 / ((1 - part) * slowness + part * measured)

    def add_jump(self, name: str, seconds: float) -> None:
        """A jump of a kind took so long until there was music again."""
        kept = _JUMP_KEPT_PART * self.jump_seconds.get(name, 0.0)
        self.jump_seconds[name] = max(min(seconds, _LONGEST_JUMP_SECONDS), kept)

    def jump_frames(self, name: str) -> int:
        """How many frames are played from a jump of a kind until there is music again, at most."""
        first_guess = min(_FIRST_JUMP_STEPS / self.steps_per_second, _LONGEST_JUMP_SECONDS)
        seconds = self.jump_seconds.get(name, first_guess)
        return math.ceil(_SAFETY * seconds * self.frame_rate_hz)

    @property
    def is_too_slow(self) -> bool:
        """Whether the music is made slower than it is heard."""
        return self.steps_per_second < self.frame_rate_hz

    @property
    def lead_frames(self) -> int:
        """How far ahead of the playhead the music is made."""
        return round(self.lead_ms / 1000 * self.frame_rate_hz)

    @property
    def chunk_frames(self) -> int:
        """How many frames to make in one call: few where they take long."""
        low, high = _CHUNK_FRAMES_RANGE
        frames = min(high, round(_CALL_SECONDS * self.steps_per_second), self.lead_frames // 4)
        return max(low, frames)

    @property
    def reserve_frames(self) -> int:
        """What a rewrite must hold beyond the commit point, to last until the next chunk.

        That one may take as long as the longest did, and what is done besides a frame.
        """
        typical_frames = self.chunk_frames * self.frame_rate_hz / self.steps_per_second
        longest_frames = self.longest_seconds * self.frame_rate_hz + 1
        return max(3, min(25, math.ceil(max(_SAFETY * typical_frames, longest_frames))))

    @property
    def rewrite_frames(self) -> float:
        """How many frames are played from a going back until the rewrite, and one to be safe.

        A going back leaves a cache to be filled: a little where it can be taken up again.
        """
        played_a_step = self.frame_rate_hz / self.steps_per_second
        if played_a_step >= 1:
            return math.inf
        # Until a reserve is final beyond a commit point that goes on, from a margin ahead of it.
        frames = max(1, self.settle_frames + self.reserve_frames + 1 - self.margin_frames)
        steps = frames / (1 - played_a_step) + self.chunk_frames
        return steps * played_a_step + self.fill_seconds * self.frame_rate_hz + 1

    @property
    def margin_frames(self) -> int:
        """How far beyond the commit point a change begins, to be ready before its moment."""
        steps = self.settle_frames + self.reserve_frames
        played_meanwhile = steps * self.frame_rate_hz / self.steps_per_second
        return max(2, min(50, math.ceil(played_meanwhile)))


def _longest(before_seconds: float, seconds: float, kept_part: float) -> float:
    """The longest of what was, which fades, and of what has come, which may be odd."""
    most = _MOST_GROWTH * before_seconds + _MOST_GROWTH_SECONDS
    return max(min(seconds, most), kept_part * before_seconds)
