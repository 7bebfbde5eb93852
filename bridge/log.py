"""What the daemon says: lines that a performer can read, and JSON lines on request.

Writing happens in a thread of its own behind a bounded queue: a terminal that was stopped with
Ctrl-S, or a full disk, must stop nobody. What does not fit into the queue is dropped and counted.
Parts of the daemon log to `logging.getLogger("mgrt.<part>")`; `extra={"event": {...}}` gives
fields to the JSON line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

ROOT: Final = "mgrt"
QUEUE_ITEMS: Final = 1000

# A part that repeats itself is quoted this often, and then told as "n more like this".
REPEATS_A_WINDOW: Final = 5
WINDOW_SECONDS: Final = 10.0
# Of so many different texts the repeats are counted; all others share one count.
_MAX_TEXTS: Final = 500

_LEVEL_MARKS = {logging.WARNING: "! ", logging.ERROR: "!! ", logging.CRITICAL: "!! "}


class LineWriter:
    """Writes texts to a stream from its own thread. `put` may be called by [any] thread."""

    def __init__(
        self, stream: TextIO, *, name: str, items: int = QUEUE_ITEMS, closes: bool = False
    ) -> None:
        """With `closes` the stream is closed at the end, by the thread."""
        self._stream = stream
        self._closes = closes
        self._is_ending = False
        self._queue: queue.Queue[str | None] = queue.Queue(items)
        self.dropped = 0
        # A daemon thread: a stopped terminal must not hold the process at its end either.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """Write `text` soon, or drop and count it if the stream has been stuck for long."""
        try:
            self._queue.put_nowait(text)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_seconds: float = 0.3) -> None:
        """Write what is queued and end; wait no longer than that for it."""
        self._is_ending = True
        try:
            self._queue.put(None, timeout=timeout_seconds)
        except queue.Full:  # it ends when it has written what is queued
            return
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (text := self._queue.get()) is not None:
            try:
                self._stream.write(text)
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # the terminal has gone, the disk is full
                self.dropped += 1
            if self._is_ending and self._queue.empty():
                break
        self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
        if self._closes:
            with contextlib.suppress(OSError, ValueError):
                self._stream.close()


class LineHandler(logging.Handler):
    """Formats records and hands the lines to `put`, which must not block."""

    def __init__(self, formatter: logging.Formatter, put: Callable[[str], None]) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one line on. Never raises: a bad log call must not end the music."""
        try:
            self._put(self.format(record))
        except Exception:
            self.handleError(record)


class PerformerFormatter(logging.Formatter):
    """`21:03:41  engine    ready: pocket on cpu`; warnings are marked with `!`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line; a traceback follows on lines of its own."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        mark = _LEVEL_MARKS.get(record.levelno, "")
        line = f"{clock}  {part_of(record):<9} {mark}{one_line(record.getMessage())}"
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, monotonic_ns, level, part, text, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line of JSON."""
        value: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "monotonic_ns": time.monotonic_ns(),
            "level": record.levelname.lower(),
            "part": part_of(record),
            "text": record.getMessage(),
        }
        event = getattr(record, "event", None)
        if isinstance(event, dict):
            value["event"] = event
        if record.exc_info and record.exc_info[0] is not None:
            value["traceback"] = self.formatException(record.exc_info)
        return json.dumps(value, default=str)


class RepeatFilter(logging.Filter):
    """Lets a text through a few times in a while; the first one after that tells what it missed.

    A flood of bad packets must not bury the line that matters. Bounded: texts are forgotten when
    their window ends.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._window_end = 0.0
        self._counts: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        now = self._clock()
        if now >= self._window_end:
            self._window_end = now + WINDOW_SECONDS
            self._counts = {}
        # The template, not the text: "bad packet from %s" is one line whoever sent it.
        key = (record.name, str(record.msg))
        if key not in self._counts and len(self._counts) >= _MAX_TEXTS:
            key = (record.name, "")
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count == REPEATS_A_WINDOW:
            record.msg, record.args = f"{record.getMessage()} (more like this are not shown)", ()
        return count <= REPEATS_A_WINDOW


class LogSetup:
    """The handlers of one run of the daemon; `close` removes them. One thread.

    They stand at the root, so that what libraries complain of is told in the same way.
    """

    def __init__(
        self, put_line: Callable[[str], None], json_path: Path | None, *, is_verbose: bool = False
    ) -> None:
        """Raises OSError if the JSON file cannot be opened."""
        self._handlers: list[logging.Handler] = []
        self._json_writer: LineWriter | None = None
        if json_path is not None:
            writer = LineWriter(json_path.open("a", encoding="utf-8"), name="json-log")
            self._json_writer = writer
            # First, since the repeat filter below changes what it lets through last.
            self._handlers.append(
                LineHandler(JsonFormatter(), lambda line: writer.put(f"{line}\n"))
            )
        performer = LineHandler(PerformerFormatter(), put_line)
        performer.addFilter(RepeatFilter())
        self._handlers.append(performer)
        for handler in self._handlers:
            logging.getLogger().addHandler(handler)
        self._level_before = logging.getLogger(ROOT).level
        logging.getLogger(ROOT).setLevel(logging.DEBUG if is_verbose else logging.INFO)

    def close(self) -> None:
        """Write what is left and take the handlers away."""
        logging.getLogger(ROOT).setLevel(self._level_before)
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
        if self._json_writer is not None:
            self._json_writer.close()


def part_of(record: logging.LogRecord) -> str:
    """The part of the daemon that spoke: `mgrt.engine` is "engine"."""
    return record.name.removeprefix(f"{ROOT}.") or ROOT


def one_line(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would obey."""
    words = " ".join(text.split())
    return "".join(character if character.isprintable() else "?" for character in words)
