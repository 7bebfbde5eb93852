"""How late the ticks leave that go through a port which sends at once: a table.

`python -m tests.bridge.clock.midi_out_jitter --seconds 30` takes as long for each tempo.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.clock.midi_out_process import ClockSender

_BEGIN_AHEAD_NS = 50_000_000
_CLOCK = 0xF8


class RecordingOutput:
    """Keeps each message with the moment at which it was sent."""

    def __init__(self, bpm: float, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.bpm = bpm
        self.period_ns = 60e9 / bpm / 24
        self._now_ns = now_ns
        self.begin_ns = now_ns() + _BEGIN_AHEAD_NS
        self.sent: list[tuple[int, int]] = []
        self._came = threading.Condition()

    def send(self, status: int) -> None:
        with self._came:
            self.sent.append((self._now_ns(), status))
            self._came.notify_all()

    def wait_for(self, status: int, seconds: float) -> bool:
        """Whether such a message comes in time."""
        with self._came:
            return self._came.wait_for(lambda: status in [one for _, one in self.sent], seconds)

    def wait_for_ticks(self, count: int, seconds: float) -> bool:
        with self._came:
            return self._came.wait_for(lambda: len(self.sent) >= count, seconds)

    def due_ns(self, number: int) -> float:
        """When a tick is due: the first one that is sent lies on a tick after the beginning."""
        first = round((self.sent[0][0] - self.begin_ns) / self.period_ns)
        return self.begin_ns + (first + number) * self.period_ns


def lead_message_at(output: RecordingOutput, beat: float, *, is_playing: bool) -> dict[str, Any]:
    """The beats of an output: at its beginning they stand at `beat`."""
    return {
        "time_ns": output.begin_ns,
        "beat": beat,
        "bpm": output.bpm,
        "is_playing": is_playing,
        "beats_per_bar": 4,
    }


def send_for(
    bpm: float,
    ticks: int,
    now_ns: Callable[[], int] = time.monotonic_ns,
    ended: threading.Event | None = None,
) -> RecordingOutput:
    """Send so many ticks on even beats. The sender waits by `ended`, which may be a clock's own."""
    output = RecordingOutput(bpm, now_ns)
    sender = ClockSender(output, now_ns, ended)
    sender.lead(lead_message_at(output, 0.0, is_playing=False))
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    output.wait_for_ticks(ticks, 60.0 + ticks * output.period_ns * 1e-9)
    sender.stop()
    thread.join(10.0)
    return output


def main() -> None:
    """Measure three tempi."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    print("| BPM | ticks | late, median | deviation | 99 % | worst |\n|---|---|---|---|---|---|")
    for bpm in (60.0, 120.0, 200.0):
        output = send_for(bpm, round(seconds * bpm * 24 / 60))
        ticks = [at_ns for at_ns, status in output.sent if status == _CLOCK]
        late_ms = np.array([at - output.due_ns(n) for n, at in enumerate(ticks)]) / 1e6
        figures = (np.median(late_ms), late_ms.std(), np.percentile(late_ms, 99), late_ms.max())
        told = " | ".join(f"{one:.3f} ms" for one in figures)
        print(f"| {bpm:g} | {len(ticks)} | {told} |", flush=True)


if __name__ == "__main__":
    main()
