"""Where a model's matrices come from: the checkpoint, or the cache of quantised ones.

Quantising a large model takes a while, so its result is kept on disk, keyed by the checkpoint's
files and the format. The cache holds levels and scales only, which fit any processor.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.linear import WeightFormat, quantise

# Part of the key: a change of how levels are computed must not read old files.
_VERSION = 1


def cache_folder() -> Path:
    """`$MUSICGEN_RT_CACHE`, else `musicgen-rt` in the user's cache folder (XDG)."""
    own = os.environ.get("MUSICGEN_RT_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "musicgen-rt"


def _fingerprint(folder: Path) -> str:
    """Tells checkpoints apart by their weight files' places, sizes and times."""
    parts = []
    for path in sorted(folder.glob("*.safetensors")):
        real = path.resolve()
        status = real.stat()
        parts.append(f"{real} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(parts)


class LinearSource:
    """Gives matrices by name in one weight format. Use as a context manager.

    On a clean exit freshly quantised matrices are saved; a cache that cannot be written costs only
    the time to quantise again.
    """

    def __init__(self, weight_format: WeightFormat, path: Path | None) -> None:
        self.weight_format = weight_format
        self._path = path
        self._stored: dict[str, dict[str, Tensor]] = _read(path) if path is not None else {}
        self._fresh: dict[str, dict[str, Tensor]] = {}

    @classmethod
    def open(cls, checkpoint: Checkpoint, weight_format: WeightFormat) -> LinearSource:
        path = None
        if weight_format.is_quantised:
            key = f"{_VERSION} {weight_format} {_fingerprint(checkpoint.folder)}"
            name = hashlib.sha256(key.encode()).hexdigest()[:32]
            path = cache_folder() / "quantised" / f"{name}.safetensors"
        return cls(weight_format, path)

    def get(self, name: str, matrix: Callable[[], Tensor]) -> dict[str, Tensor]:
        """The tensors for `build_linear`; `matrix` is only called where nothing is cached."""
        if name in self._stored:
            return self._stored[name]
        tensors = quantise(matrix(), self.weight_format)
        if self._path is not None:
            self._fresh[name] = tensors
        return tensors

    def __enter__(self) -> LinearSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._fresh and self._path is not None:
            _write(self._path, self._stored | self._fresh)


def _read(path: Path) -> dict[str, dict[str, Tensor]]:
    """Matrix name -> its tensors; empty where there is no (readable) cache file."""
    matrices: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dict
                matrix, _, part = key.rpartition(".")
                matrices.setdefault(matrix, {})[part] = file.get_tensor(key)
    except (OSError, SafetensorError):
        return {}
    return matrices


def _write(path: Path, matrices: dict[str, dict[str, Tensor]]) -> None:
    flat = {
        f"{name}.{part}": tensor
        for name, parts in matrices.items()
        for part, tensor in parts.items()
    }
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(flat, temporary)
        temporary.replace(path)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            temporary.unlink()
