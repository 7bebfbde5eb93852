"""A JACK client that is timebase master: the host that a player is measured against.

Nothing of the player's code is in it. Run as `python -m musicgen_rt.evaluate.sync_host SERVER BPM`;
it starts the transport and writes a line of JSON every few milliseconds: JACK's frame of the
transport's frame 0. It is never closed, only killed (see `jack_ear`).
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from statistics import median
from typing import Any

import jack

BEATS_PER_BAR = 4
_BBT = 0x10
_TICKS = 1920.0
_LOOK_SECONDS = 0.05
_LOOKS = 9


def main(server: str, bpm: float) -> None:
    """Lead until killed, or until the server has gone."""
    client = jack.Client("host", servername=server, no_start_server=True)
    is_ended = threading.Event()

    def place(state: int, frames: int, position: Any, is_new: bool) -> None:
        del state, frames, is_new
        beats = position.frame / position.frame_rate * bpm / 60
        bar, beat = divmod(beats, BEATS_PER_BAR)
        position.valid = _BBT
        position.bar, position.beat = int(bar) + 1, int(beat) + 1
        position.tick = int(beat % 1 * _TICKS)
        position.bar_start_tick = bar * BEATS_PER_BAR * _TICKS
        position.beats_per_bar, position.beat_type = float(BEATS_PER_BAR), 4.0
        position.ticks_per_beat, position.beats_per_minute = _TICKS, bpm

    client.set_timebase_callback(place)
    client.set_shutdown_callback(lambda *_: is_ended.set())
    client.activate()
    client.transport_start()
    zeros: deque[int] = deque(maxlen=_LOOKS)
    while not is_ended.wait(_LOOK_SECONDS):
        before = client.last_frame_time
        state, position = client.transport_query_struct()
        if state != jack.ROLLING or client.last_frame_time != before:
            continue
        zeros.append(before - int(position.frame))
        if len(zeros) == _LOOKS:
            print(json.dumps({"zero_frame": int(median(zeros))}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
