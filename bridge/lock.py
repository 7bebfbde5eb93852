"""The lock against a second daemon: one daemon an OSC port and user.

A file lock in the user's runtime folder. The system drops it with the process that holds it, so
a daemon that was killed leaves nothing that anybody must clean up: the file stays, the lock does
not. The file's text only serves the message that a second daemon shows.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from musicgen_rt.errors import MusicgenRTError

try:
    import fcntl
except ImportError:  # Windows: the port itself, bound without sharing, is the lock
    fcntl = None  # type: ignore[assignment]

_MAX_NOTE_BYTES = 1024


class AlreadyRunningError(MusicgenRTError):
    """Another daemon of this user serves the same OSC port. `pid` is its process, if known."""

    def __init__(self, osc_port: int, pid: int | None) -> None:
        who = "another daemon" if pid is None else f"another daemon (process {pid})"
        stop = (
            "stop it" if pid is None else f"stop it (kill {pid}, or `musicgen-rt send /mgrt/quit`)"
        )
        super().__init__(
            f"{who} already serves OSC port {osc_port}: {stop}, or start this one with "
            f"--osc-port {osc_port + 10 if osc_port + 10 < 65536 else 9130} and other ports"
        )
        self.pid = pid


class DaemonLock:
    """Held from `acquire` to `release`, or to the end of the process whatever its end.

    The port 0 stands for "any free port" and needs no lock. One thread.
    """

    def __init__(self, osc_port: int, folder: Path | None = None) -> None:
        self._osc_port = osc_port
        self._folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises AlreadyRunningError if another process holds it, and
        OSError when the folder cannot be written."""
        if self._osc_port == 0 or fcntl is None:
            return
        folder = runtime_folder() if self._folder is None else self._folder
        path = folder / f"osc-{self._osc_port}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _noted_pid(descriptor)
            os.close(descriptor)
            raise AlreadyRunningError(self._osc_port, pid) from None
        except OSError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid()}).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; again is no harm. The file stays: removing it would race."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def runtime_folder() -> Path:
    """This user's folder for what lives as long as the login: made if absent, closed to others.

    XDG_RUNTIME_DIR where the system gives one, else a folder of ours among the temporary files.
    Raises MusicgenRTError if somebody else owns that folder.
    """
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and Path(given).is_absolute() and os.access(given, os.W_OK):
        folder = Path(given) / "musicgen-rt"
    else:
        folder = Path(tempfile.gettempdir()) / f"musicgen-rt-{_user_id()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (_user_id(), 0)
    if os.name == "posix" and not is_ours:
        raise MusicgenRTError(
            f"{folder} is not a folder of yours: remove it, or set XDG_RUNTIME_DIR to one that is"
        )
    return folder


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _noted_pid(descriptor: int) -> int | None:
    """The process that wrote the lock file, or None if its text is not ours or not there yet."""
    try:
        note = json.loads(os.pread(descriptor, _MAX_NOTE_BYTES, 0))
        return int(note["pid"])
    except (ValueError, KeyError, TypeError):
        return None
