"""Replies that are owed until a child process has answered, and faders that wait for their turn.

A fader's command is sent when the one before it has been answered; of those that arrive meanwhile
only the last is kept, together with how many it stands for. So a flood of values costs the engine
no more than it can take, and no request goes unanswered.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from bridge.control.client import Client
from bridge.control.message import Value
from bridge.refusal import Refusal

MAX_OWED = 4096
MAX_ASKERS = 64
ANSWER_SECONDS = 20  # a bar of four beats at the slowest tempo has 12
_ANSWER_NS = ANSWER_SECONDS * 10**9

Answer = Callable[[Mapping[str, Any]], tuple[Value, ...]]


@dataclass(frozen=True)
class Restore:
    """A control that a request has set, to be set back if the child refuses."""

    key: str
    new: Any
    before: Any


@dataclass
class Owed:
    """One message to a child and who waits for its answer.

    `args` are those of the request, of the last one if there are several; `askers` counts the
    requests of each client that this one message stands for. `fader` names
    the control of a continuous command that may replace one before it. `answer` makes the values
    of `/done` from the child's answer, unless they are beat and number of requests. It is overdue
    some seconds after `due_ns`: when it was sent, or later is to be heard.
    """

    id: int
    child: str
    message: dict[str, Any]
    address: str
    reply_address: str
    askers: dict[Client, int]
    args: tuple[Any, ...]
    asked_ns: int
    due_ns: int
    fader: str | None = None
    is_heard_at_once: bool = False
    restores: list[Restore] = field(default_factory=list)
    answer: Answer | None = None


class OwedReplies:
    """What is owed, by the id of the message that was sent. [control]"""

    def __init__(self) -> None:
        self._owed: dict[int, Owed] = {}
        self._in_flight: dict[str, int] = {}  # by fader
        self._waiting: dict[str, Owed] = {}  # by fader
        # The ids of both, the oldest first: one that replaces another has its id, and its place.
        self._open: OrderedDict[int, None] = OrderedDict()
        self._syncs: deque[tuple[int, Client, int]] = deque()  # last id before it, who, its value
        self._last_id = 0
        self.coalesced = 0

    def __len__(self) -> int:
        return len(self._owed) + len(self._waiting)

    def next_id(self) -> int:
        """An id that was never used."""
        self._last_id += 1
        return self._last_id

    def require_room(self) -> None:
        """Raise Refusal if too much is owed already."""
        if len(self) >= MAX_OWED:
            raise Refusal(f"{MAX_OWED} requests wait for an answer: send less, or wait")

    def add(self, owed: Owed, now_ns: int) -> bool:
        """Keep it; whether its message is to be sent now, or waits for its fader's turn."""
        owed.due_ns = max(owed.due_ns, now_ns)
        is_sent = owed.fader is None or owed.fader not in self._in_flight
        if is_sent:
            self._owed[owed.id] = owed
            if owed.fader is not None:
                self._in_flight[owed.fader] = owed.id
        elif owed.fader is not None:
            before = self._waiting.get(owed.fader)
            if before is not None:
                self._replace(before, owed)
            self._waiting[owed.fader] = owed
        self._open[owed.id] = None
        return is_sent

    def release(self, fader: str, now_ns: int) -> Owed | None:
        """Let a fader's waiting message go out of turn, before something that must follow it."""
        owed = self._waiting.pop(fader, None)
        if owed is not None:
            owed.fader = None
            self.add(owed, now_ns)
        return owed

    def waiting_faders(self) -> list[str]:
        """The faders that have a message waiting."""
        return list(self._waiting)

    def settle(self, identity: int, now_ns: int) -> tuple[Owed | None, Owed | None]:
        """What the answer to `identity` was owed for, and what may be sent now in its wake."""
        owed = self._owed.pop(identity, None)
        if owed is not None:
            del self._open[identity]
        if owed is None or owed.fader is None:
            return owed, None
        self._in_flight.pop(owed.fader, None)
        following = self._waiting.pop(owed.fader, None)
        if following is not None:
            self.add(following, now_ns)
        return owed, following

    def rebase(self, key: str, before: Any) -> bool:
        """A control is `before` now: it will be that again if what asks for it first is refused.

        Whether anything that has not been taken yet asks for it.
        """
        for owed in chain(self._owed.values(), self._waiting.values()):
            for number, restore in enumerate(owed.restores):
                if restore.key == key:
                    owed.restores[number] = replace(restore, before=before)
                    return True
        return False

    def take_child(self, child: str) -> list[Owed]:
        """Take out everything that a child has not answered: it has gone."""
        gone = [one for one in self._owed.values() if one.child == child]
        gone += [one for one in self._waiting.values() if one.child == child]
        for one in gone:
            self._owed.pop(one.id, None)
            self._open.pop(one.id, None)
            if one.fader is not None:
                self._in_flight.pop(one.fader, None)
                self._waiting.pop(one.fader, None)
        return gone

    def overdue(self, now_ns: int) -> list[int]:
        """The ids of those that should have been answered long ago; settle them."""
        return [one.id for one in self._owed.values() if now_ns - one.due_ns > _ANSWER_NS]

    def add_sync(self, client: Client, value: int) -> None:
        """Keep a `/mgrt/sync` until all before it is answered. Raises Refusal if too many wait."""
        if len(self._syncs) >= MAX_OWED:
            raise Refusal(f"{MAX_OWED} syncs wait already: wait for their answers")
        self._syncs.append((self._last_id, client, value))

    def take_synced(self) -> Iterator[tuple[Client, int]]:
        """The syncs that have nothing left to wait for."""
        oldest = next(iter(self._open), None)
        while self._syncs and (oldest is None or self._syncs[0][0] < oldest):
            _, client, value = self._syncs.popleft()
            yield client, value

    def _replace(self, before: Owed, owed: Owed) -> None:
        """Let a later value of a fader stand for the earlier one, too."""
        self.coalesced += 1
        owed.id = owed.message["id"] = before.id
        for client, count in before.askers.items():
            if client in owed.askers or len(owed.askers) < MAX_ASKERS:
                owed.askers[client] = owed.askers.get(client, 0) + count
        # Refused, it goes back to what the engine last accepted.
        owed.restores = [
            Restore(new.key, new.new, old.before)
            for new, old in zip(owed.restores, before.restores, strict=True)
        ]
