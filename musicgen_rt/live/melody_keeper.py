"""Keeps what the player asks the melody to be, by frames of the stream, and tells the score."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.live.controls import Edit
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody_plan import placements
from musicgen_rt.live.melody_state import MelodyState
from musicgen_rt.live.placed_melody import PlacedMelody

Turn = Callable[[MelodyState], MelodyState]

# More than so many are looked through for some that lie too far back for any return.
_KEEP_TURNS = 1_000


@dataclass(frozen=True)
class _Turned:
    """A state that begins at a frame, and what has made it of the one before."""

    frame: int
    turn: Turn
    state: MelodyState


def _as_it_is(state: MelodyState) -> MelodyState:
    return state


class MelodyKeeper:
    """The melody's states of one stream. One thread: the engine's. Frames are the stream's."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._before = MelodyState()
        self._turned: list[_Turned] = []
        self._untold: int | None = None

    def at(self, frame: int) -> MelodyState:
        """What is asked at a frame."""
        return self._state_before(bisect_right(self._turned, frame, key=_frame_of))

    def change(self, frame: int, turn: Turn) -> None:
        """Turn the state at `frame` into another; what was set for later frames is set again.

        The score is told by `tell`. Raises what `turn` raises, before anything is changed.
        """
        at = bisect_right(self._turned, frame, key=_frame_of)
        old = self._state_before(at)
        new = turn(old)
        if new == old:
            return
        later, self._turned[at:] = self._turned[at:], [_Turned(frame, turn, new)]
        if new.sounds_other_than(old):
            self._must_tell(frame)
        self._turn_again(later)
        self._forget()

    def take_back(self, turn: Turn) -> None:
        """Undo a change, if it stands; what was set after it is set again."""
        at = next((at for at, one in enumerate(self._turned) if one.turn is turn), None)
        if at is None:
            return
        undone, *later = self._turned[at:]
        del self._turned[at:]
        if undone.state.sounds_other_than(self._state_before(at)):
            self._must_tell(undone.frame)
        self._turn_again(later)

    def is_listening_from(self, frame: int) -> bool:
        """Whether notes are followed or captured at `frame`, or later as far as is known."""
        modes = [one.state.mode for one in self._turned if one.frame > frame]
        return any(mode in ("follow", "loop") for mode in (self.at(frame).mode, *modes))

    def tell(self) -> None:
        """Tell the score what has changed; many notes at once cost it no more than one."""
        if self._untold is not None:
            self._lay_from(self._untold)

    def _turn_again(self, later: list[_Turned]) -> None:
        """Make later changes on top of what stands before them now."""
        for one in later:
            with suppress(MusicgenRTError):  # it makes no sense any more after that change
                state = one.turn(self.at(one.frame))
                self._turned.append(_Turned(one.frame, one.turn, state))
                if state.sounds_other_than(one.state):
                    self._must_tell(one.frame)

    def _must_tell(self, frame: int) -> None:
        self._untold = frame if self._untold is None else min(frame, self._untold)

    def _lay_from(self, frame: int) -> None:
        """Tell the score what the melody does from `frame` on."""
        self._untold = None
        later = sorted({one.frame for one in self._turned if one.frame > frame})
        for at in (frame, *later):
            self._lay(at)

    def _lay(self, frame: int) -> None:
        """Tell the score what the melody does from `frame` on, if nothing more is played."""
        timeline = self.engine.timeline
        assert timeline is not None
        config = self.engine.model.config
        rate_hz, looks_back = config.frame_rate_hz, config.kind == "melody"
        self.engine.drop_coming("melody", frame)
        asked = self.at(frame)
        for one in placements(asked, frame, timeline, rate_hz, looks_back=looks_back):
            placed = None
            if one.melody is not None:
                placed = PlacedMelody(one.melody, one.start_frame, rate_hz)
            self.engine.apply([Edit("melody", placed)], one.frame)

    def lay_again(self, frame: int) -> None:
        """The timeline has changed from `frame` on: what is laid out in beats moves with it."""
        later = (one.state.mode for one in self._turned if one.frame > frame)
        if {"loop", "file"} & {self.at(frame).mode, *later}:
            self._lay_from(frame)

    def go_back(self, frame: int, hands: MelodyState) -> None:
        """The stream went back to `frame` with the controls of then, and the keys held in `hands`.

        They are those of now: whoever has let a key go since does not let it go once more.
        """
        self._truncate(frame)
        self._take_hands(frame, hands)
        self._lay_from(frame)

    def lifted(self, frame: int, origin: int | None = None, turn: Turn = _as_it_is) -> MelodyState:
        """What is asked at a frame, as though `origin`, or it itself, were frame 0 and beat 0.

        `turn` is done to it first.
        """
        origin = frame if origin is None else origin
        return turn(self.at(frame)).moved(-origin, -self._beat(origin))

    def put_down(self, lifted: MelodyState, frame: int) -> Turn:
        """What was lifted somewhere else holds from `frame` on, and nothing set for later.

        Returns the change, for `take_back`.
        """
        self._truncate(frame)
        state = lifted.moved(frame, self._beat(frame))

        def turn(_: MelodyState) -> MelodyState:
            return state

        self._turned.append(_Turned(frame, turn, state))
        self._lay_from(frame)
        return turn

    def begin(self, lifted: MelodyState, frame: int, hands: MelodyState | None = None) -> None:
        """The engine has begun another session, which goes on at `frame`.

        With `hands` the keys that are held there are held in it.
        """
        self._before, self._turned = MelodyState(), []
        self.put_down(lifted, frame)
        if hands is not None:
            self._take_hands(frame, hands)
            self._lay_from(frame)

    def _take_hands(self, frame: int, hands: MelodyState) -> None:
        beat, old = self._beat(frame), self.at(frame)
        new = old.in_hands_of(hands, frame, beat)
        if new != old:

            def turn(state: MelodyState) -> MelodyState:
                return state.in_hands_of(hands, frame, beat)

            self._turned.append(_Turned(frame, turn, new))

    def _state_before(self, index: int) -> MelodyState:
        return self._turned[index - 1].state if index else self._before

    def _truncate(self, frame: int) -> None:
        del self._turned[bisect_left(self._turned, frame, key=_frame_of) :]

    def _forget(self) -> None:
        """Let go of what lies too far back for any return."""
        if len(self._turned) > _KEEP_TURNS:
            at = bisect_right(self._turned, self.engine.earliest_return, key=_frame_of)
            self._before = self._state_before(at)
            del self._turned[:at]

    def _beat(self, frame: int) -> float:
        timeline = self.engine.timeline
        assert timeline is not None
        return timeline.beat_at(frame)


def _frame_of(one: _Turned) -> int:
    return one.frame
