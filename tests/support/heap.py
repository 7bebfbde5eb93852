"""How much of glibc's heap is in use: what is kept, whatever the allocator has not given back."""

from __future__ import annotations

import ctypes

import pytest


class _Mallinfo2(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    )  # fmt: skip


_mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
needs_glibc = pytest.mark.skipif(_mallinfo2 is None, reason="glibc 2.33 or later counts its heap")


def bytes_in_use() -> int:
    """Bytes that were asked for and not given back, in all arenas and in mappings."""
    assert _mallinfo2 is not None
    _mallinfo2.restype = _Mallinfo2
    info = _mallinfo2()
    return int(info.uordblks + info.hblkhd)
