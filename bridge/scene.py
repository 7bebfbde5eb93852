"""The commands of the configuration's scene: each is executed once, as soon as it can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bridge.protocol import BY_ADDRESS

if TYPE_CHECKING:
    from bridge.control.dispatcher import Dispatcher

_CLIENT_NAME = "scene"


class Scene:
    """Executes what needs no model at once and the rest when the model is there. [control]"""

    def __init__(self, commands: Sequence[Sequence[Any]], dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._waiting = [command for command in commands if _needs_model(command)]
        for command in commands:
            if not _needs_model(command):
                dispatcher.local(*command, client_name=_CLIENT_NAME)

    def model_is_there(self) -> None:
        """Execute what has waited for it."""
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            self._dispatcher.local(*command, client_name=_CLIENT_NAME)


def _needs_model(command: Sequence[Any]) -> bool:
    # One that does not exist is executed too: its refusal is told.
    entry = BY_ADDRESS.get(command[0])
    return entry is not None and entry.needs_model
