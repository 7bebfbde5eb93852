"""The engine's process: `python -m musicgen_rt.live.worker --pipe-fd N --buffer-fd M`.

Control starts it, sends it what to play and reads how it goes; its samples go into the timeline
buffer. Whatever it is doing it is gone within a second of a "quit", the pipe's end or SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.pipe import Pipe
from musicgen_rt.errors import MusicgenRTError, ParameterError
from musicgen_rt.live.worker_exit import EXIT_CONFIG, EXIT_ENGINE, EXIT_OK
from musicgen_rt.live.worker_heart import Heart
from musicgen_rt.live.worker_inbox import Inbox
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.live.worker_sender import Sender

# A call into the libraries cannot be interrupted: after this the process ends in the middle of it.
_LEAVE_SECONDS = 0.5
_LAST_WORDS_SECONDS = 0.3
_START_SECONDS = 60.0

Load = Callable[..., Any]


def main(arguments: Sequence[str] | None = None, load: Load | None = None) -> int:
    """Run the worker; `load` takes the place of `MusicGen.load`, for tests. The exit code."""
    parser = argparse.ArgumentParser(prog="musicgen_rt.live.worker", description=__doc__)
    parser.add_argument("--pipe-fd", type=int, required=True)
    parser.add_argument("--buffer-fd", type=int, required=True)
    args = parser.parse_args(arguments)
    pipe = Pipe.inherited(args.pipe_fd)
    sender = Sender(pipe)
    outbox = Outbox(sender.send)
    heart = Heart(outbox.send)
    inbox = Inbox(pipe, outbox.refuse, _leave_soon)
    _heed_signals(inbox)
    for thread in (sender, inbox, heart):
        thread.start()
    try:
        return _play(inbox, outbox, heart, args.buffer_fd, load)
    except (MusicgenRTError, OSError) as error:
        outbox.error("load", str(error), None)
        return EXIT_CONFIG
    except Exception as error:
        traceback.print_exc()
        outbox.error("load", f"{type(error).__name__}: {error}", None)
        return EXIT_ENGINE
    finally:
        heart.stop()
        sender.close(_LAST_WORDS_SECONDS)


def _play(inbox: Inbox, outbox: Outbox, heart: Heart, buffer_fd: int, load: Load | None) -> int:
    # Imported here: until then control hears the heart beat.
    from musicgen_rt.live.worker_run import play

    messages = inbox.take(_START_SECONDS)
    if inbox.is_closed and not messages:
        return EXIT_OK
    if not messages or messages[0]["type"] != "start":
        raise ParameterError("the first message must be start")
    buffer = TimelineBuffer.attach(buffer_fd)
    return play(messages[0], messages[1:], inbox, outbox, heart, buffer, load)


def _heed_signals(inbox: Inbox) -> None:
    """The terminal's signals are control's business; SIGTERM ends this process."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: inbox.close())


def leave(exit_code: int) -> NoReturn:
    """End the process at once: the libraries' own farewell may take as long as all the rest."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _leave_soon() -> None:
    """End the process even if the engine's loop does not come round any more."""

    def wait_and_leave() -> None:
        time.sleep(_LEAVE_SECONDS)
        leave(EXIT_OK)

    threading.Thread(target=wait_and_leave, name="watchdog", daemon=True).start()


if __name__ == "__main__":
    leave(main())
