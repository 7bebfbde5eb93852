"""What JACK says of its outputs' latency; JACK-Client does not ask, so libjack is asked itself."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from typing import Any

_PLAYBACK = 1  # JackPlaybackLatency in jack/types.h


class _Range(ctypes.Structure):
    _fields_ = (("min", ctypes.c_uint32), ("max", ctypes.c_uint32))


def playback_latency_frames(client: Any) -> int:
    """From what is written in a cycle to its sound: the longest of the sound card's outputs."""
    library = _library()
    if library is None:
        return 0
    frames = 0
    for port in client.get_ports(is_physical=True, is_audio=True, is_input=True):
        found = _Range()
        pointer = library.jack_port_by_name(_pointer_of(client), port.name.encode())
        if pointer:
            library.jack_port_get_latency_range(pointer, _PLAYBACK, ctypes.byref(found))
        frames = max(frames, int(found.max))
    return frames


@cache
def _library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("jack")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.jack_port_by_name.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    library.jack_port_by_name.restype = ctypes.c_void_p
    library.jack_port_get_latency_range.argtypes = (
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_void_p,
    )
    library.jack_port_get_latency_range.restype = None
    return library


def _pointer_of(client: Any) -> ctypes.c_void_p:
    """The library's client behind the Python one, which offers no more public way to it."""
    import jack

    return ctypes.c_void_p(int(jack._ffi.cast("uintptr_t", client._ptr)))
