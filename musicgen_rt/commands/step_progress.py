"""How far a job of many steps is, on stderr: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from tqdm import tqdm

_LINE_EVERY_SECONDS = 15.0


class StepProgress:
    """One bar, or now and then a line, for each label. A context manager; one thread."""

    def __init__(
        self,
        *,
        is_quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_quiet = is_quiet
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._label = ""
        self._bar: Any = None
        self._next_line = 0.0

    def update(self, label: str, done: int, total: int) -> None:
        """So many of a label's steps are done; another label begins another bar."""
        if self._is_quiet:
            return
        if label != self._label:
            self._close()
            self._label, self._next_line = label, self._clock()
        if self._stream.isatty():
            if self._bar is None:
                self._bar = tqdm(total=total, desc=label, file=self._stream)
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        elif self._clock() >= self._next_line or done >= total:
            self._next_line = self._clock() + _LINE_EVERY_SECONDS
            print(f"{label}: {done} of {total}", file=self._stream, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
