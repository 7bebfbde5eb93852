"""The playout, whose whole interpreter stands still for a moment at SIGUSR1: a pause of the GIL."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

from bridge.playout.process import main

PAUSE_US = 30_000


def pause_on_signal() -> None:
    # Not in a handler: CPython 3.11's SimpleQueue.get(timeout) waits for ever when a handler
    # takes longer than what is left of its time.
    while True:
        signal.sigwait({signal.SIGUSR1})
        # A function called through PyDLL keeps the GIL, as a long collection of garbage does.
        ctypes.PyDLL(None).usleep(PAUSE_US)


if __name__ == "__main__":
    # Inherited by all threads that follow: the signal is for the one that waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    threading.Thread(target=pause_on_signal, daemon=True).start()
    code = main()
    sys.stderr.flush()
    os._exit(code)  # as the playout itself does
