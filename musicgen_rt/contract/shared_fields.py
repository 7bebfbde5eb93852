"""Shared memory without a name, and 64-bit fields in it, each written by one process.

An aligned 64-bit load or store is never torn on the machines this runs on; order between two of
them is what `fence` is for.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections.abc import Sequence

_FIELD_BYTES = 8
_LOCK = threading.Lock()


def create_memory(size_bytes: int) -> int:
    """A descriptor of `size_bytes` zeros that other processes can inherit; it has no name.

    Raises OSError when there is no room.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("musicgen-rt-timeline")
    else:  # macOS: a file that is unlinked at once
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, size_bytes)
    return fd


def map_memory(file_descriptor: int) -> mmap.mmap:
    """The whole of what `create_memory` made, shared and writable."""
    return mmap.mmap(file_descriptor, 0)


def fence() -> None:
    """Complete every load and store before this line before any after it.

    Python has no fence; taking a lock twice has its effect: what is before moves at most into the
    first turn, what follows at most into the second, and the two turns keep their order.
    """
    for _ in range(2):
        with _LOCK:
            pass


class Fields:
    """Named int64 fields, then float64 ones, from the start of the memory on.

    Any thread may read; a field has one writing thread in one process.
    """

    def __init__(
        self, memory: mmap.mmap, integers: Sequence[str], floats: Sequence[str], end_bytes: int
    ) -> None:
        if (len(integers) + len(floats)) * _FIELD_BYTES > min(end_bytes, len(memory)):
            raise ValueError(f"{len(memory)} bytes do not hold the fields")
        header = memoryview(memory)[:end_bytes]
        self._integers = header.cast("q")
        self._floats = header.cast("d")
        self._index = {name: i for i, name in enumerate((*integers, *floats))}

    def get(self, name: str) -> int:
        return self._integers[self._index[name]]

    def set(self, name: str, value: int) -> None:
        self._integers[self._index[name]] = value

    def get_float(self, name: str) -> float:
        return self._floats[self._index[name]]

    def set_float(self, name: str, value: float) -> None:
        self._floats[self._index[name]] = value
