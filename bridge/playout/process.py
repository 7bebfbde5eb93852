"""The playout process: the pump in the main thread, the pipe and the slow things in others.

Run by the daemon as `python -m bridge.playout.process --pipe-fd N --buffer-fd M`. It ends on
`quit`, on SIGTERM and when the daemon's end of the pipe closes: the music fades, files are closed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.playout import exit_codes
from bridge.playout.options import PlayoutOptions
from bridge.playout.outbox import Outbox
from bridge.playout.output import DeviceLostError
from bridge.playout.output_keeper import OutputKeeper
from bridge.playout.player import Player
from bridge.playout.portaudio_turn import PORTAUDIO_TURN
from bridge.playout.requests import Requests
from bridge.playout.watchdog import STILL_SECONDS, Watchdog
from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.pipe import Pipe
from musicgen_rt.errors import MusicgenRTError, ParameterError

# From the request to end to the last sample.
_MAX_END_SECONDS = 0.5
_FLUSH_SECONDS = 0.3
# What the device is given to be closed; one of a dead server never is.
_CLOSE_SECONDS = 0.5
_SWITCH_SECONDS = 0.0005
_PRIORITY = 10
_NICENESS = -11

_QUIT = {"type": "quit"}

Message = Mapping[str, Any]


class Process:
    """One playout, from the start message to the end. Main thread, but for `_read`."""

    def __init__(self, pipe: Pipe, buffer: TimelineBuffer) -> None:
        self._pipe = pipe
        self._buffer = buffer
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._outbox = Outbox(pipe)

    def run(self) -> int:
        """Play until told to end; the exit code."""
        threading.Thread(target=self._read, name="pipe", daemon=True).start()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: self._inbox.put(_QUIT))
        message = self._inbox.get()
        if message["type"] == "quit":
            return exit_codes.DONE
        try:
            self._options = PlayoutOptions.from_message(message)
            self._begin()
        except MusicgenRTError as error:
            return self._end_with(exit_codes.BAD_START, str(error))
        try:
            with _undisturbed():
                self._play()
        except DeviceLostError as error:
            return self._lose_device(str(error))
        self._player.close()
        PORTAUDIO_TURN.wait_until_closed(_CLOSE_SECONDS)
        return exit_codes.DONE

    def flush(self) -> None:
        """Send what is queued, but do not wait for a daemon that does not read."""
        self._outbox.close(_FLUSH_SECONDS)

    def _end_with(self, code: int, text: str) -> int:
        self._outbox.post({"type": "failed", "id": None, "reason": text})
        print(f"playout: {text}", file=sys.stderr)
        return code

    def _lose_device(self, text: str) -> int:
        self._outbox.post({"type": "device_lost", "text": text})
        self._player.sinks.close()
        return exit_codes.DEVICE_LOST

    def _give_up(self) -> None:
        """The pump hangs, in a call of the sound server's library most likely. [watchdog]"""
        code = self._lose_device(f"the output has hung for {STILL_SECONDS:g} s")
        self.flush()
        os._exit(code)

    def _read(self) -> None:
        """[pipe]"""
        with contextlib.suppress(ParameterError):  # nonsense on the pipe ends it as its end does
            for message, _ in self._pipe.receive():
                self._inbox.put(message)
        self._inbox.put(_QUIT)

    def _begin(self) -> None:
        options, post = self._options, self._outbox.post
        self._keeper = OutputKeeper(options, time.monotonic_ns, post)
        self._player = Player(self._buffer, options, self._keeper.output, time.monotonic_ns, post)
        self._requests = Requests(self._player, post, self._keeper.ask)
        if options.wav_path is not None:
            self._player.sinks.record(options.wav_path)
        self._keeper.announce()

    def _play(self) -> None:
        """Step until the end is asked for and the last sample has left."""
        watchdog = Watchdog(self._give_up)
        wait_seconds = 0.0
        while True:
            watchdog.step()
            with contextlib.suppress(queue.Empty):
                message = self._inbox.get(timeout=wait_seconds) if wait_seconds else None
                while message is not None:
                    if message["type"] == "quit":
                        watchdog.stop()
                        self._fade_out()
                        return
                    self._requests.handle(message)
                    message = self._inbox.get_nowait()
            self._keeper.step(self._player)
            wait_seconds = self._player.step()

    def _fade_out(self) -> None:
        """Stop as the transport does, and wait until the device has taken it all."""
        session = self._player.session
        session.close_gate(None, None)
        end_sample = session.stop_sample
        until = time.monotonic() + _MAX_END_SECONDS
        while time.monotonic() < until:
            time.sleep(self._player.step())
            if self._buffer.snapshot().reader_sample >= end_sample:
                return


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection, short turns of the interpreter, and priority where it is allowed."""
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(_SWITCH_SECONDS)
    with contextlib.suppress(OSError, AttributeError):
        if not _take_realtime_priority():
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    yield


def _take_realtime_priority() -> bool:
    """For this thread only; those it starts go back to the usual priority."""
    try:
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY))
    except (OSError, AttributeError):
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run with inherited descriptors; the exit code."""
    parser = argparse.ArgumentParser(prog="bridge.playout.process")
    parser.add_argument("--pipe-fd", type=int, required=True)
    parser.add_argument("--buffer-fd", type=int, required=True)
    args = parser.parse_args(argv)
    os.set_inheritable(args.pipe_fd, False)
    process = Process(Pipe.inherited(args.pipe_fd), TimelineBuffer.attach(args.buffer_fd))
    try:
        code = process.run()
    # Whatever it is, the supervisor must get a code and not a process that hangs.
    except Exception:
        traceback.print_exc()
        code = exit_codes.FAILED
    process.flush()
    return code


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # PortAudio's own end hangs when the sound server is dead.
    os._exit(exit_code)
