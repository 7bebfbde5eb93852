"""How far a job is, on stderr: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from tqdm import tqdm

_LINE_EVERY_SECONDS = 10.0
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s [{elapsed}<{remaining}{postfix}]"


class AudioProgress:
    """Shows seconds of audio done, with the speed as a multiple of real time.

    Use as a context manager, which leaves the cursor at the start of a line. One thread.
    """

    def __init__(
        self,
        label: str,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._is_terminal = self._stream.isatty()
        self._bar: Any = None
        self._loading: Any = None
        self._started: float | None = None
        self._next_line = 0.0

    def update(self, done_seconds: float, total_seconds: float) -> None:
        """So much of the audio is there. Time counts from the first call on."""
        now = self._clock()
        if self._started is None:
            self._started = self._next_line = now
        elapsed = now - self._started
        speed = done_seconds / elapsed if elapsed > 0 else 0.0
        is_done = done_seconds >= total_seconds
        if self._is_terminal:
            self._draw(done_seconds, total_seconds, speed)
        elif now >= self._next_line or is_done:
            self._next_line = now + _LINE_EVERY_SECONDS
            print(
                f"{self._label}: {done_seconds:.1f} of {total_seconds:.1f} s, "
                f"{speed:.2f} x real time",
                file=self._stream,
                flush=True,
            )

    def load(self, part: str, done: int, total: int) -> None:
        """So much of a part of the model is there: a bar of its own, or a line when it is whole."""
        if self._is_terminal and self._loading is None:
            self._loading = tqdm(total=total, desc=f"loading {part}", file=self._stream)
        if self._loading is not None:
            self._loading.update(done - self._loading.n)
        if done < total:
            return
        if self._loading is not None:
            self._loading.close()
            self._loading = None
        else:
            self.note(f"{part} loaded")

    def note(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(text, file=self._stream, flush=True)

    def _draw(self, done_seconds: float, total_seconds: float, speed: float) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=total_seconds, desc=self._label, bar_format=_BAR, file=self._stream
            )
        self._bar.set_postfix_str(f"{speed:.2f} x real time", refresh=False)
        self._bar.update(done_seconds - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for bar in (self._loading, self._bar):
            if bar is not None:
                bar.close()
