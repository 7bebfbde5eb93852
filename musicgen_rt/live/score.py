"""The score: every control as a function of the absolute frame.

A control is never "the present value": it is a list of changes, each at its frame. Going back in
time therefore needs no undo, and what has been played can be made again: the music is a function
of the score and the model.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.magnet_config import MagnetConfig

NUM_SLOTS = 8

# What was set for frames of the stream, not for a moment of the performance.
STREAM_KEYS = ("memory", "roll", "fixed")
# Whose values are no plain numbers and texts: they say their size themselves.
_LARGE_KEYS = ("memory", "melody")


@dataclass(frozen=True)
class Parameter:
    """A numeric control: its range, default and meaning."""

    default: float
    low: float
    high: float
    doc: str
    is_whole: bool = False

    def check(self, name: str, value: float) -> float:
        """The value in its type. Raises ParameterError naming the range."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:
            raise ParameterError(f"{name} is {value!r}: expected {self.low:g} to {self.high:g}")
        if self.is_whole and value != int(value):
            raise ParameterError(f"{name} is {value!r}: expected a whole number")
        return int(value) if self.is_whole else float(value)


PARAMETERS = {
    "temperature": Parameter(1.0, 0.0, 10.0, "randomness of sampling; 0 is greedy"),
    "top_k": Parameter(250, 0, 65536, "sample among the k likeliest tokens; 0 is off", True),
    "top_p": Parameter(0.0, 0.0, 1.0, "sample from the likeliest tokens of this mass; 0 is off"),
    "cfg": Parameter(3.0, 0.0, 30.0, "classifier-free guidance; 1 is off"),
    # 1 is the single guidance; the "double" one was published with 5 (MusicGen-Style).
    "cfg_melody": Parameter(1.0, 0.0, 30.0, "weight of the text over the melody; 1 is plain cfg"),
    "seed": Parameter(0, 0, 2**63 - 1, "seed of the sampling noise", True),
    "context_bars": Parameter(0, 0, 64, "bars that a roll keeps at most; 0 is all that fit", True),
}
# An empty slot weighs nothing, so that a prompt put there with a ramp fades in.
WEIGHT = Parameter(0.0, -10.0, 10.0, "weight of a prompt")


def default_controls(default_cfg: float, magnet: MagnetConfig | None = None) -> dict[str, Any]:
    """What a score holds before any change; controls not named are None.

    `cfg` is the model's, and so is the sampling of a model of masked codes.
    """
    numbers = {name: parameter.default for name, parameter in PARAMETERS.items()}
    weights = {f"weight/{slot}": WEIGHT.default for slot in range(NUM_SLOTS)}
    own: dict[str, Any] = {"cfg": default_cfg}
    if magnet is not None:
        own |= {name: getattr(magnet, name) for name in ("temperature", "top_k", "top_p")}
    return numbers | weights | own


@runtime_checkable
class Placed(Protocol):
    """A value that begins at a frame of the stream and goes along when the stream is moved."""

    def moved(self, frames: int) -> Self:
        """The same value, beginning so many frames later."""
        ...


@dataclass(frozen=True)
class Change:
    """From `frame` on the value holds; a number may be reached over `ramp_frames`."""

    frame: int
    value: Any
    ramp_frames: int = 0


@dataclass
class Track:
    """One control's changes in order of frames; `before` is its value before the first of them."""

    before: Any
    changes: list[Change] = field(default_factory=list)
    # For each change the value at the frame before it, where its ramp begins: a ramp may cut
    # another one short, and that one another, without end.
    _starts: list[Any] = field(default_factory=list)

    def set(self, change: Change) -> None:
        """Add a change; one at the same frame is replaced."""
        at = bisect.bisect_left(self.changes, change.frame, key=_frame_of)
        replaced = at < len(self.changes) and self.changes[at].frame == change.frame
        self.changes[at : at + replaced] = [change]
        del self._starts[at:]
        for index in range(at, len(self.changes)):
            self._starts.append(self._value(index - 1, self.changes[index].frame - 1))

    def at(self, frame: int) -> Any:
        """The value at `frame`, on its way if a ramp is under way."""
        return self._value(self._index(frame), frame)

    def forget_before(self, frame: int) -> None:
        """Drop changes that no frame from `frame` on can feel."""
        at = self._index(frame)
        if at > 0:
            self.before = self._starts[at]
            del self.changes[:at], self._starts[:at]

    def truncate(self, frame: int) -> None:
        """Drop the changes from `frame` on."""
        at = bisect.bisect_left(self.changes, frame, key=_frame_of)
        del self.changes[at:], self._starts[at:]

    def since(self, frame: int) -> list[Change]:
        """Changes from `frame` on that give what this track gives there, the first at `frame`."""
        at = self._index(frame)
        changes = [Change(frame, self.at(frame))]
        if at >= 0:
            under_way = self.changes[at]
            frames_left = under_way.frame + under_way.ramp_frames - frame
            if frames_left > 0:
                changes.append(Change(frame + 1, under_way.value, frames_left - 1))
        later = self.changes[at + 1 :]
        if later and changes[-1].frame == later[0].frame:
            del changes[-1]
        return [*changes, *later]

    def target_at(self, frame: int) -> Any:
        """The value at `frame`, or where the ramp that is under way there leads."""
        at = self._index(frame)
        return self.changes[at].value if at >= 0 else self.before

    def next_after(self, frame: int) -> int | None:
        """The frame of the first change after `frame`."""
        at = self._index(frame) + 1
        return self.changes[at].frame if at < len(self.changes) else None

    def _index(self, frame: int) -> int:
        """The change in force at `frame`, -1 for none."""
        return bisect.bisect_right(self.changes, frame, key=_frame_of) - 1

    def _value(self, index: int, frame: int) -> Any:
        if index < 0:
            return self.before
        change = self.changes[index]
        elapsed = frame - change.frame
        if elapsed >= change.ramp_frames:
            return change.value
        start = self._starts[index]
        return start + (change.value - start) * (elapsed + 1) / (change.ramp_frames + 1)


class Score:
    """Changes of named controls. One thread writes."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = dict(defaults)
        self._tracks: dict[str, Track] = {}
        self.forgotten_before = 0

    @property
    def num_changes(self) -> int:
        return sum(len(track.changes) for track in self._tracks.values())

    @property
    def size(self) -> int:
        """How much it holds, in changes: those there are, notes of melodies, frames of memories."""
        large = (self._tracks[key].changes for key in _LARGE_KEYS if key in self._tracks)
        values = (change.value for changes in large for change in changes)
        return self.num_changes + sum(value.size for value in values if value is not None)

    def set(self, key: str, change: Change) -> None:
        """Add a change; one of the same control at the same frame is replaced."""
        if key not in self._tracks:
            self._tracks[key] = Track(self._defaults.get(key))
        self._tracks[key].set(change)

    def at(self, key: str, frame: int) -> Any:
        """The control's value at `frame`, on its way if a ramp is under way."""
        track = self._tracks.get(key)
        return self._defaults.get(key) if track is None else track.at(frame)

    def target_at(self, key: str, frame: int) -> Any:
        """The control's value at `frame`, or where the ramp that is under way there leads."""
        track = self._tracks.get(key)
        return self._defaults.get(key) if track is None else track.target_at(frame)

    def tracks(self) -> Iterator[tuple[str, Track]]:
        """Every control that was ever changed. For reading."""
        return iter(self._tracks.items())

    def load(self, tracks: Mapping[str, Track], forgotten_before: int) -> None:
        """Take over what another score's `tracks` and `forgotten_before` gave."""
        self._tracks, self.forgotten_before = dict(tracks), forgotten_before

    def changes_after(self, frame: int, prefixes: tuple[str, ...]) -> list[int]:
        """The next change of each control that begins with one of `prefixes`, in order."""
        frames = {
            track.next_after(frame)
            for key, track in self._tracks.items()
            if key.startswith(prefixes)
        }
        return sorted(later for later in frames if later is not None)

    def next_change(self, key: str, frame: int) -> int | None:
        """The frame of the first change of a control after `frame`."""
        track = self._tracks.get(key)
        return None if track is None else track.next_after(frame)

    def truncate(self, frame: int, key: str | None = None) -> None:
        """Drop the changes from `frame` on, of one control or of all."""
        for name, track in self._tracks.items():
            if key is None or name == key:
                track.truncate(frame)

    def move(self, source: int, target: int) -> None:
        """From frame `target` on, what stands from `source` on; `target` is the earlier one.

        What was set for frames of the stream (`STREAM_KEYS`) stays with them.
        """
        moved = {key: self._excerpt(key, source, target - source) for key in self._movable()}
        self.truncate(target)
        for key, changes in moved.items():
            for change in changes:
                self._tracks[key].set(change)

    def excerpt(self, first: int, end: int, then: int) -> Score:
        """The controls of frames `first` to `end` as a score whose frame 0 is `first`.

        What stands at `then`, and no later change, holds from `end` on. Without what was set for
        frames of the stream (`STREAM_KEYS`).
        """
        score = Score(self._defaults)
        for key in self._movable():
            for change in self._excerpt(key, first, -first):
                if change.frame < end - first:
                    score.set(key, change)
            value = self._tracks[key].target_at(then)
            score.set(key, Change(end - first, _moved(value, -first)))
        return score

    def _movable(self) -> list[str]:
        return [key for key in self._tracks if key not in STREAM_KEYS]

    def _excerpt(self, key: str, since: int, frames_on: int) -> list[Change]:
        """A control's changes from `since` on, at so many frames later."""
        return [
            Change(change.frame + frames_on, _moved(change.value, frames_on), change.ramp_frames)
            for change in self._tracks[key].since(since)
        ]

    def forget_before(self, frame: int) -> None:
        """Drop changes that no frame from `frame` on can feel."""
        for track in self._tracks.values():
            track.forget_before(frame)
        self.forgotten_before = max(self.forgotten_before, frame)


def _moved(value: Any, frames_on: int) -> Any:
    return value.moved(frames_on) if isinstance(value, Placed) else value


def _frame_of(change: Change) -> int:
    return change.frame
