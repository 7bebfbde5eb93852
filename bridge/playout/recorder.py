"""The recorder: what leaves goes to a WAV or FLAC file, in a thread that audio never waits for.

The queue to the thread is bounded. When the disk is too slow for it the blocks that do not fit are
left out, and as much silence is written in their place. When the disk is full the file is closed so
that it can be read, and the owner is told.
"""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from musicgen_rt.errors import AudioFileError

SUFFIXES = (".wav", ".flac")

_SUBTYPE = "PCM_24"
_BYTES_PER_VALUE = 3
_MAX_QUEUED_SECONDS = 20
# Before a WAV file's 32-bit lengths run over.
_MAX_WAV_BYTES = (1 << 32) - (1 << 20)


@dataclass(frozen=True)
class RecordingEnded:
    """A file was closed and can be read: `samples` of each channel, of which some may be missing.

    `error` says why it ended before it was told to.
    """

    path: str
    samples: int
    missing_samples: int
    error: str | None


class Recording:
    """One file being written. [pump], but for its own thread's `_run`.

    Raises AudioFileError when the file cannot be made; an existing one is not overwritten.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int) -> None:
        self.path = path
        self.rate_hz = rate_hz
        self.channels = channels
        self.ended: RecordingEnded | None = None
        self._file = _create(path, rate_hz, channels)
        self._max_samples = _max_samples(path, channels)
        self._queue: queue.SimpleQueue[NDArray[np.float32] | int | None] = queue.SimpleQueue()
        self._max_queued = _MAX_QUEUED_SECONDS * rate_hz
        # Each counter has one writing thread: the pump the first two, the writer the others.
        self._given = 0
        self._left_out = 0
        self._taken = 0
        self._missing = 0
        self._written = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def write(self, samples: NDArray[np.float32]) -> None:
        """Hand over a block [N, C]; it must not change afterwards. Never waits."""
        if self._given - self._taken + len(samples) > self._max_queued:
            self._left_out += len(samples)
            return
        if self._left_out:
            self._queue.put(self._left_out)
            self._left_out = 0
        self._given += len(samples)
        self._queue.put(samples)

    def stop(self) -> None:
        """Close the file once all that was handed over is written."""
        self._queue.put(None)

    def wait(self, seconds: float) -> None:
        """Wait for the file to be closed."""
        self._thread.join(seconds)

    def _run(self) -> None:
        """Write until told to stop or until it fails. [recorder]"""
        error = None
        try:
            while error is None and (item := self._queue.get()) is not None:
                if isinstance(item, int):
                    self._missing += item
                    item = np.zeros((item, self.channels), np.float32)
                else:
                    self._taken += len(item)
                error = self._append(item)
        # The owner must hear of it, whatever it is.
        except Exception as failure:
            error = f"it could not be written ({failure}): the disk may be full"
        samples, close_error = self._close(is_whole=error is None)
        self.ended = RecordingEnded(str(self.path), samples, self._missing, error or close_error)

    def _append(self, samples: NDArray[np.float32]) -> str | None:
        if self._written + len(samples) > self._max_samples:
            return "a WAV file holds no more than 4 GiB: record .flac for longer"
        self._file.write(samples)
        self._written += len(samples)
        return None

    def _close(self, is_whole: bool) -> tuple[int, str | None]:
        """Close the file; how many samples can be read, and what went wrong."""
        error = None
        try:
            self._file.close()
        except (soundfile.LibsndfileError, OSError) as failure:
            error = str(failure)
        if (is_whole and error is None) or self.path.suffix.lower() != ".flac":
            return self._written, error
        try:
            return _set_flac_length(self.path, self._written), error
        except OSError as failure:
            return 0, error or str(failure)


def _create(path: Path, rate_hz: int, channels: int) -> soundfile.SoundFile:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise AudioFileError(f"{path.name}: expected a name that ends in {' or '.join(SUFFIXES)}")
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileExistsError as error:
        raise AudioFileError(f"{path.name} exists already: choose another name") from error
    except OSError as error:
        raise AudioFileError(f"{path} cannot be written: {error.strerror}") from error
    try:
        # Closed with the file.
        return soundfile.SoundFile(
            descriptor, "w", rate_hz, channels, _SUBTYPE, format=suffix[1:].upper()
        )
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise AudioFileError(f"{path} cannot be written: {error}") from error


def _max_samples(path: Path, channels: int) -> int:
    if path.suffix.lower() == ".wav":
        return _MAX_WAV_BYTES // (_BYTES_PER_VALUE * channels)
    return 1 << 36


def _set_flac_length(path: Path, written: int) -> int:
    """Write the length that the encoder could not write on a full disk; the length.

    STREAMINFO (RFC 9639, section 8.2) begins with the block size and ends its sizes with 36 bits
    of length. Only whole blocks count: the last one on the disk may be cut off.
    """
    with path.open("r+b") as file:
        head = file.read(26)
        if len(head) < 26 or not head.startswith(b"fLaC"):
            return 0
        block_samples = int.from_bytes(head[10:12], "big")
        whole = max(0, written - 1) // block_samples * block_samples
        sizes = int.from_bytes(head[18:26], "big")
        file.seek(18)
        file.write((sizes >> 36 << 36 | whole).to_bytes(8, "big"))
        return whole
