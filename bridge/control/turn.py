"""One request being carried out: what its handler may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bridge.control.message import Value
from bridge.control.outcome import Done, Outcome
from bridge.control.owed import Answer, Owed, Restore
from bridge.control.position import SECOND_NS, Position
from bridge.control.request import Request
from bridge.control.target import Target, resolve_target

if TYPE_CHECKING:
    from bridge.control.session import Session

# What is not sound is done when its time has come; so much later is as near as ticks allow.
_LATE_TOLERANCE_NS = SECOND_NS // 50
# What the engine does; the rest is done to samples that are made already.
_MUSIC_GROUPS = ("attr", "bank", "gen", "melody", "param", "prompt", "song")
# Their moment is kept to the sample even if it is a time tag.
_EXACT = ("prompt/", "attr/")


class Turn:
    """A request, where the session stands, and what follows from it. [control]"""

    def __init__(
        self,
        session: Session,
        request: Request,
        position: Position,
        now_ns: int,
        outcome: Outcome,
    ) -> None:
        self.session = session
        self.state = session.state
        self.request = request
        self.client = request.client
        self.position = position
        self.now_ns = now_ns
        self.outcome = outcome

    @cached_property
    def target(self) -> Target:
        """When it is to be heard."""
        request = self.request
        when, tag_ns = request.call.when, request.time_tag_ns
        return resolve_target(
            when,
            tag_ns,
            self.session.clock,
            self.position,
            self.now_ns,
            is_music=request.entry.group in _MUSIC_GROUPS,
        )

    @property
    def frame(self) -> int:
        """The session frame from which it is to be heard."""
        frame = self.target.frame
        return self.position.commit_frame if frame is None else frame

    @property
    def sample(self) -> int | None:
        """The same to the sample, None for as soon as possible."""
        if self.target.frame is None:
            return None
        return round(self.target.place * self.position.hop_samples)

    @property
    def has_place(self) -> bool:
        """Whether it asks for a moment of its own: such requests do not replace one another."""
        return self.request.time_tag_ns is not None or self.request.call.when.unit != "now"

    def _is_exact(self, name: str) -> bool:
        """Whether a line between two frames matters: not for notes, nor for streams of numbers.

        Each such place costs the engine some frames that it makes twice.
        """
        is_line = self.request.call.when.unit != "now"
        return name.startswith(_EXACT) or (is_line and not name.startswith("melody/"))

    @property
    def beat(self) -> float:
        """The beat from which it is to be heard."""
        return self.session.clock.timeline.beat_at(self.frame)

    def frames_of(self, beats: float) -> int:
        """How many frames so many beats from `frame` on take."""
        if not beats:
            return 0
        timeline = self.session.clock.timeline
        return max(0, round(timeline.frame_at(self.beat + beats) - self.frame))

    def report_lateness(self) -> None:
        """Tell the sender if its time tag was missed."""
        tag_ns = self.request.time_tag_ns
        if tag_ns is None:
            return
        if self.request.entry.when is not None and self.position.is_moving:
            late_ms = self.target.late_ms
        else:
            late_ns = self.now_ns - tag_ns
            late_ms = late_ns / 10**6 if late_ns > _LATE_TOLERANCE_NS else 0.0
        if late_ms > 0:
            self.session.tell_late(self, late_ms)

    def done(self, *args: Value) -> None:
        """Answer: done, or the answer that the table names for it."""
        answer = self.request.entry.answer
        address = self.request.entry.address
        if self.request.entry.is_control:
            self.outcome.done.append(Done(self.beat, address, self.request.call.args))
        if answer.path is None:
            self.outcome.reply(self.client, "/done", address, *args)
        else:
            self.outcome.reply(self.client, answer.address, *args)

    def done_heard(self) -> None:
        """Answer with the beat, for what needs nobody's consent."""
        self.done(self.beat, 1)

    def ask_engine(
        self,
        name: str,
        *args: Any,
        sets: Mapping[str, Any] | None = None,
        fader: str | None = None,
        at_bar_line: bool = False,
        frame: int | None = None,
        is_urgent: bool = False,
        answer: Answer | None = None,
    ) -> None:
        """Set state and send a command; `/done` follows when the engine has taken it.

        While the model loads, state is all there is: the engine gets it when it is ready.
        With `at_bar_line` the engine chooses the next bar line that it can reach; `frame` is
        another frame than the request asks for. `is_urgent` goes however much is owed already.
        """
        session = self.session
        if not session.engine.is_ready:
            self._set(sets)
            self.done_heard()
            return
        if not is_urgent:
            session.owed.require_room()
        sample = beat = None
        if frame is None:
            frame, beat = self.target.frame, self.target.beat
            sample = self.sample if self._is_exact(name) else None
        if at_bar_line and self.request.call.when.bars <= 1 and self.request.time_tag_ns is None:
            frame = sample = beat = None
        identity = session.owed.next_id()
        message = {
            "type": "command",
            "id": identity,
            "name": name,
            "args": list(args),
            "frame": frame,
            "sample": sample,
            "beat": beat,
        }
        self._send("engine", message, sets, fader, answer)

    def ask_playout(
        self,
        kind: str,
        *,
        sets: Mapping[str, Any] | None = None,
        fader: str | None = None,
        answer: Answer | None = None,
        **fields: Any,
    ) -> None:
        """Set state and send a message; `/done` follows when the playout has taken it."""
        session = self.session
        if not session.playout.is_ready:
            self._set(sets)
            self.done_heard()
            return
        session.owed.require_room()
        message = {"type": kind, "id": session.owed.next_id(), **fields}
        self._send("playout", message, sets, fader, answer)

    def _set(self, sets: Mapping[str, Any] | None) -> list[Restore]:
        items = (sets or {}).items()
        return [Restore(key, value, self.state.set(key, value)) for key, value in items]

    def _send(
        self,
        child: str,
        message: dict[str, Any],
        sets: Mapping[str, Any] | None,
        fader: str | None,
        answer: Answer | None = None,
    ) -> None:
        outbox = self.outcome.engine if child == "engine" else self.outcome.playout
        is_fader = fader is not None and not self.has_place
        if not is_fader:
            for key in sets or ():
                self.release_fader(key)
        owed = Owed(
            id=message["id"],
            child=child,
            message=message,
            address=self.request.entry.address,
            reply_address=self.request.entry.answer.address,
            askers={self.client: 1},
            args=self.request.call.args,
            asked_ns=self.request.received_ns,
            due_ns=self.position.time_of_frame_ns(self.frame, self.now_ns),
            fader=fader if is_fader else None,
            is_heard_at_once=child == "engine" and not self.has_place,
            restores=self._set(sets),
            answer=answer,
        )
        if self.session.owed.add(owed, self.now_ns):
            outbox.append(message)

    def release_fader(self, fader: str) -> None:
        """Send what waits for a fader's turn, so that what follows is the later one."""
        waiting = self.session.owed.release(fader, self.now_ns)
        if waiting is not None:
            outbox = self.outcome.engine if waiting.child == "engine" else self.outcome.playout
            outbox.append(waiting.message)
