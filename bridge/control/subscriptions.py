"""What the listeners of the PUB socket want, as the socket tells it."""

from __future__ import annotations

from collections.abc import Callable

_SUBSCRIBE, _UNSUBSCRIBE = 1, 0


class Subscriptions:
    """Knows whether anybody wants one topic; making that one costs something. [control]"""

    def __init__(self, topic: bytes, on_change: Callable[[bool], None]) -> None:
        """`on_change` is called when the first wants the topic, and when the last does no more."""
        self._topic = topic
        self._on_change = on_change
        # A subscription is a prefix. The socket tells of each prefix once, however many want it.
        self._prefixes: set[bytes] = set()

    def take(self, frame: bytes) -> None:
        """A subscription or its end."""
        kind, prefix = frame[:1], frame[1:]
        if not self._topic.startswith(prefix):
            return
        was_wanted = bool(self._prefixes)
        if kind == bytes([_SUBSCRIBE]):
            self._prefixes.add(prefix)
        elif kind == bytes([_UNSUBSCRIBE]):
            self._prefixes.discard(prefix)
        if bool(self._prefixes) != was_wanted:
            self._on_change(not was_wanted)
