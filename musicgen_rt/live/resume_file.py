"""A take that is written at every bar, for a process that takes over after this one."""

from __future__ import annotations

from pathlib import Path

from musicgen_rt.errors import CheckpointError, HistoryError
from musicgen_rt.live import take
from musicgen_rt.live.stage import Stage

_NAME = "resume.safetensors"


class ResumeFile:
    """The last bar on disk. One thread: the engine's."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self._path, self._stage = folder / _NAME, stage
        self._last: tuple[int, int] | None = None
        self._has_failed = False

    def keep(self) -> str | None:
        """Write the newest bar, if it is another one than before; the first failure's reason."""
        bar = self._stage.newest_bar()
        key = (id(self._stage.engine.session), bar or 0)
        if bar is None or key == self._last:
            return None
        self._last = key
        try:
            take.save(self._stage.take(bar), self._path)
        except (CheckpointError, HistoryError) as error:
            is_news, self._has_failed = not self._has_failed, True
            return str(error) if is_news else None
        self._has_failed = False
        return None


def kept_take(folder: Path) -> take.Take | None:
    """What the process before left; None if it left nothing. Raises CheckpointError."""
    path = folder / _NAME
    return take.load(path) if path.exists() else None
