"""What each command of the protocol's table does, by the path of its address.

A handler takes its turn and the checked arguments. It raises Refusal before it changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bridge.control.handlers import generation, music, output, server, song, time

HANDLERS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        **server.HANDLERS,
        **music.HANDLERS,
        **time.HANDLERS,
        **generation.HANDLERS,
        **song.HANDLERS,
        **output.HANDLERS,
    }
)
