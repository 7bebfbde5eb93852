"""MIDI clock out through the system's MIDI (ALSA, CoreMIDI, WinMM), as a process of its own.

python-rtmidi sends at once: it takes no time for a message. So ticks are decided some milliseconds
ahead and a thread of highest priority waits for each: it sleeps until shortly before, and spins for
the rest. Run by `bridge.clock.lead` as `python -m bridge.clock.midi_out_process`; it ends when its
input does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bridge.clock.midi_lead import Lead, TickWriter
from bridge.midi_backend import open_output
from musicgen_rt.errors import MusicgenRTError

# Ticks are numbered by the microsecond at which they are due.
_RATE_HZ = 1_000_000
# So far ahead ticks are decided; corrections that come later act on what follows.
_AHEAD_MICROS = 4_000
# What a sleep may overrun by is spent spinning.
_SPIN_NS = 400_000
_PRIORITY = 60


class Output(Protocol):
    """Where messages go."""

    def send(self, status: int) -> None:
        """One byte, at once."""


class ClockSender:
    """Sends each tick when it is due. `run` belongs to one thread, `lead` to any.

    Its time is `now_ns`; it waits by `ended`, set when it shall end.
    """

    def __init__(
        self,
        output: Output,
        now_ns: Callable[[], int] = time.monotonic_ns,
        ended: threading.Event | None = None,
    ) -> None:
        self._output = output
        self._now_ns = now_ns
        self._writer = TickWriter()
        self._ended = ended or threading.Event()

    def lead(self, message: dict[str, Any]) -> None:
        """[any] Where the beats are: a message of `bridge.clock.lead`."""
        self._writer.lead(
            Lead(
                message["time_ns"] / 1000,
                float(message["beat"]),
                float(message["bpm"]),
                _RATE_HZ,
                bool(message["is_playing"]),
                int(message["beats_per_bar"]),
            )
        )

    def stop(self) -> None:
        """[any] Send no more."""
        self._ended.set()

    def run(self) -> None:
        """Send until stopped."""
        _take_priority()
        first = self._now_ns() // 1000
        while not self._ended.is_set():
            for offset, status in self._writer.between(first, _AHEAD_MICROS):
                self._wait_until((first + offset) * 1000)
                if self._ended.is_set():
                    return
                self._output.send(status)
            first += _AHEAD_MICROS
            # A machine that was suspended does not send what it slept through.
            first = max(first, self._now_ns() // 1000 - _AHEAD_MICROS)
            decide_ns = (first - _AHEAD_MICROS // 2) * 1000
            self._ended.wait(max(0.0, (decide_ns - self._now_ns()) * 1e-9))

    def _wait_until(self, due_ns: int) -> None:
        rest_ns = due_ns - self._now_ns()
        if rest_ns > _SPIN_NS:
            self._ended.wait((rest_ns - _SPIN_NS) * 1e-9)
        while self._now_ns() < due_ns and not self._ended.is_set():
            pass


def _take_priority() -> None:
    """Real-time scheduling, where the system lets us."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))


def _listen(sender: ClockSender) -> None:
    """[input] The daemon's words; when they end, so does this process."""
    for line in sys.stdin:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            sender.lead(json.loads(line))
    os._exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the daemon goes; 1 if there is no port."""
    parser = argparse.ArgumentParser(prog="bridge.clock.midi_out_process")
    parser.add_argument("--api", default="auto")
    parser.add_argument("--port", default="", help="a part of its name; empty: one of our own")
    parser.add_argument("--name", default="musicgen-rt-lead")
    args = parser.parse_args(argv)
    try:
        output = open_output(args.api, args.port, args.name)
    except (MusicgenRTError, ImportError) as error:
        print(json.dumps({"type": "trouble", "text": f"MIDI clock out: {error}"}), flush=True)
        return 1
    sender = ClockSender(output)
    threading.Thread(target=_listen, args=(sender,), daemon=True).start()
    sender.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
