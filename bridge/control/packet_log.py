"""Log lines about packets, so many a second and no more: who floods us must not fill the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.control.rate_limit import Rate, RateLimit

_LINES = Rate(per_second=10, burst=40)
_MAX_CHARS = 200


class PacketLog:
    """Writes a line unless there were too many of its kind, and then says how many were left out.

    [control]
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._limit = RateLimit(_LINES)
        self._left_out = 0

    def write(
        self,
        level: int,
        kind: str,
        text: Callable[[], str],
        now_ns: int,
        *,
        with_traceback: bool = False,
    ) -> None:
        """One line; `text` is called only if it is written."""
        if not self._log.isEnabledFor(level):
            return
        if not self._limit.permits(kind, now_ns):
            self._left_out += 1
            return
        if self._left_out:
            self._log.log(level, "%d lines left out", self._left_out)
            self._left_out = 0
        self._log.log(level, "%s: %s", kind, text()[:_MAX_CHARS], exc_info=with_traceback)
