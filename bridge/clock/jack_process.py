"""JACK's clock as a process: transport, bars and beats, and MIDI clock in and out, as JSON lines.

A client of its own, since libjack can hang with its server, and takes its process along. Run by
`bridge.clock.jack` as `python -m bridge.clock.jack_process`; it ends when its input does.

Nothing here depends on when the process is given the processor: JACK's frame time is filtered by
JACK, and what the transport says is exact against it. The monotonic clock is read around the
question for the frame time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any

from bridge.clock.jack_latency import playback_latency_frames
from bridge.clock.jack_timebase import BBT, Found, Timebase, beat_of
from bridge.clock.midi_lead import Lead, TickWriter

CLIENT_NAME = "musicgen-rt-clock"

_TURN_SECONDS = 0.01
_LATENCY_SECONDS = 1.0
# A master that JACK has not asked for so long while the transport rolls is none any more.
_UNASKED_SECONDS = 1.0
_LOOKS = 3
_FEWEST_LOOKS, _MOST_LOOKS = 3, 5
_WRAP = 1 << 32


class JackClock:
    """One client from its start to its end. Main thread; `_process` is JACK's."""

    def __init__(self, args: argparse.Namespace) -> None:
        import jack

        self._jack = jack
        self._client = jack.Client(args.name, no_start_server=True)
        self._ended = threading.Event()
        self._midi: deque[tuple[int, bytes]] = deque(maxlen=1024)
        self._in = self._client.midi_inports.register("clock_in") if args.midi_in else None
        self._out = self._client.midi_outports.register("clock_out") if args.midi_out else None
        self._writer = TickWriter()
        self._latency_frames = 0
        self._latency_asked = 0.0
        self._timebase = Timebase(args.bpm, args.beats_per_bar) if args.timebase else None
        self._is_master = False
        self._calls, self._asked_at = 0, 0.0
        # What another master has said last, and at which frame of the transport.
        self._theirs: tuple[int, Found] | None = None
        self._rate_hz = int(self._client.samplerate)
        self._apart: deque[int] = deque(maxlen=_MOST_LOOKS)
        if self._in is not None or self._out is not None:
            self._client.set_process_callback(self._process)
        self._client.set_shutdown_callback(lambda *_: self._ended.set())
        self._client.activate()

    def run(self) -> None:
        """Report until the server goes."""
        while not self._ended.wait(_TURN_SECONDS):
            now_ns, frame_now = self._frame_now()
            self._report_transport(now_ns, frame_now)
            self._report_midi(now_ns, frame_now)

    def tell(self, message: dict[str, Any]) -> None:
        """[input] What the daemon wants."""
        kind = message.get("type")
        if kind == "tempo" and self._timebase is not None:
            self._timebase.set_tempo(float(message["bpm"]))
        elif kind == "signature" and self._timebase is not None:
            self._timebase.set_signature(int(message["beats_per_bar"]))
        elif kind == "lead":
            now_ns, frame_now = self._frame_now()
            ahead_ns = message["time_ns"] - self._latency_ns() - now_ns
            frame = frame_now + ahead_ns * self._rate_hz / 1e9
            self._writer.lead(
                Lead(
                    frame,
                    float(message["beat"]),
                    float(message["bpm"]),
                    self._rate_hz,
                    bool(message["is_playing"]),
                    int(message["beats_per_bar"]),
                )
            )

    def _frame_now(self) -> tuple[int, int]:
        """Monotonic time and JACK's frame at the same moment."""
        looks = []
        for _ in range(_LOOKS):
            before = time.monotonic_ns()
            frame = int(self._client.frame_time)
            after = time.monotonic_ns()
            looks.append((after - before, (before + after) // 2, frame))
        _, now_ns, frame = min(looks)
        return now_ns, frame

    def _report_transport(self, now_ns: int, frame_now: int) -> None:
        seen = self._transport()
        if seen is None:
            return
        state, position, cycle_frame = seen
        is_rolling = self._is_rolling(state == self._jack.ROLLING, position, cycle_frame)
        self._is_master = self._is_still_master(position, is_rolling)
        self._take_timebase(position)
        rate_hz = int(position.frame_rate) or self._rate_hz
        found = beat_of(position, self._timebase, rate_hz)
        if self._is_master and self._timebase is not None and not is_rolling:
            # JACK asks for no tempo while it stands.
            found = self._timebase.found_at(int(position.frame), rate_hz)
        is_theirs = bool(position.valid & BBT) and not self._is_master
        if found is not None and is_theirs:
            self._theirs = (int(position.frame), found)
        if found is None:
            _say({"type": "transport", "is_rolling": is_rolling, "beat": None})
            return
        beat = found.beat
        if is_rolling:
            ahead = _signed(frame_now + int(median(self._apart)) - int(position.frame))
            beat += ahead / rate_hz * found.bpm / 60
        _say(
            {
                "type": "transport",
                "time_ns": now_ns + self._latency_ns(),
                "is_rolling": is_rolling,
                "beat": beat,
                "bpm": found.bpm,
                "beats_per_bar": found.beats_per_bar,
                "is_master": self._is_master,
                "is_theirs": is_theirs,
            }
        )

    def _is_rolling(self, is_rolling: bool, position: Any, cycle_frame: int) -> bool:
        """Whether it rolls and it is known how far the transport's frames are from JACK's.

        That stays the same from cycle to cycle; but a look at the moment when a cycle begins may
        find the one's position with the other's frame.
        """
        if not is_rolling:
            self._apart.clear()
            return False
        self._apart.append(_signed(int(position.frame) - cycle_frame))
        return len(self._apart) >= _FEWEST_LOOKS

    def _transport(self) -> tuple[Any, Any, int] | None:
        """State, position, and the cycle that they belong to; None while it changes."""
        for _ in range(_LOOKS):
            before = int(self._client.last_frame_time)
            state, position = self._client.transport_query_struct()
            if int(self._client.last_frame_time) == before:
                return state, position, before
        return None

    def _take_timebase(self, position: Any) -> None:
        """Say the bars and beats where nobody else does."""
        if self._timebase is None or self._is_master or position.valid:
            return
        if self._theirs is not None:  # they have gone: their beats go on
            self._timebase.go_on(*self._theirs)
            self._theirs = None
        # Nothing is taken from somebody who was quicker.
        self._is_master = self._client.set_timebase_callback(
            self._timebase.callback, conditional=True
        )
        self._asked_at = time.monotonic()

    def _is_still_master(self, position: Any, is_rolling: bool) -> bool:
        """Whether the bars are still ours to say: JACK does not tell who has lost them."""
        if self._timebase is None or not self._is_master:
            return False
        now = time.monotonic()
        if self._timebase.calls != self._calls or not is_rolling:
            self._calls, self._asked_at = self._timebase.calls, now
        if is_rolling:
            return now - self._asked_at < _UNASKED_SECONDS
        return position.beats_per_minute == self._timebase.told_bpm or not position.valid

    def _report_midi(self, now_ns: int, frame_now: int) -> None:
        while self._midi:
            frame, data = self._midi.popleft()
            ago = _signed(frame_now - frame)
            time_ns = now_ns - round(ago * 1e9 / self._rate_hz) + self._latency_ns()
            _say({"type": "midi", "time_ns": time_ns, "frame": frame, "data": list(data)})

    def _process(self, frames: int) -> None:
        """[JACK]"""
        begin = int(self._client.last_frame_time)
        if self._in is not None:
            for offset, data in self._in.incoming_midi_events():
                self._midi.append((begin + offset, bytes(data)))
        if self._out is not None:
            self._out.clear_buffer()
            for offset, status in self._writer.between(begin, frames):
                self._out.write_midi_event(offset, (status,))

    def _latency_ns(self) -> int:
        """From what is written now to its sound: what JACK says of the outputs."""
        if time.monotonic() - self._latency_asked > _LATENCY_SECONDS:
            self._latency_asked = time.monotonic()
            self._latency_frames = playback_latency_frames(self._client)
        return self._latency_frames * 10**9 // self._rate_hz


def _signed(frames: int) -> int:
    """A difference of JACK's frames, which are counted modulo 2^32."""
    return (frames + _WRAP // 2) % _WRAP - _WRAP // 2


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _listen(clock: JackClock) -> None:
    """[input] The daemon's words; when they end, so does this process."""
    for line in sys.stdin:
        try:
            clock.tell(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue
    os._exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the daemon or the JACK server goes; the exit code."""
    parser = argparse.ArgumentParser(prog="bridge.clock.jack_process")
    parser.add_argument("--name", default=CLIENT_NAME)
    parser.add_argument("--bpm", type=float, default=120.0)
    parser.add_argument("--beats-per-bar", type=int, default=4)
    for flag in ("--timebase", "--midi-in", "--midi-out"):
        parser.add_argument(flag, action="store_true")
    args = parser.parse_args(argv)
    try:
        clock = JackClock(args)
    # The library's own errors, of which only it has the class, and its absence.
    except Exception as error:
        _say({"type": "trouble", "text": f"JACK cannot be reached ({error}): is a server running?"})
        return 1
    threading.Thread(target=_listen, args=(clock,), daemon=True).start()
    clock.run()
    _say({"type": "trouble", "text": "the JACK server has gone; it is looked for"})
    return 1


if __name__ == "__main__":
    exit_code = main()
    # libjack's own end hangs when its server is dead.
    os._exit(exit_code)
