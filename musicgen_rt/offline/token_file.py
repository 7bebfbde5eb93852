"""Tokens as a NumPy file, written frame after frame."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from musicgen_rt.errors import ParameterError
from musicgen_rt.offline.staged_files import unwritable

SUFFIX = ".npy"
_LARGEST_INT16_VOCABULARY = 2**15


class TokenWriter:
    """Writes undelayed codes [K, T] of a known number of frames to a .npy file. One thread.

    The array lies frame after frame in the file (Fortran order), so that it can be appended to and
    `numpy.load` gives [K, T]. int16 where the vocabulary allows, else int64. Use it in a `with`
    block, on a staged name: it removes nothing by itself. Raises AudioFileError.
    """

    def __init__(self, path: Path, codebooks: int, frames: int, vocab_size: int) -> None:
        self._path = path
        self._dtype = np.dtype("<i2" if vocab_size <= _LARGEST_INT16_VOCABULARY else "<i8")
        self._shape = (codebooks, frames)
        self._frames_left = frames
        header = {"descr": self._dtype.str, "fortran_order": True, "shape": self._shape}
        try:
            self._file = path.open("xb")
            np.lib.format.write_array_header_1_0(self._file, header)
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, codes: npt.NDArray[np.int64]) -> None:
        """Append frames: codes [K, n]."""
        assert codes.shape[0] == self._shape[0] and codes.shape[1] <= self._frames_left
        try:
            self._file.write(codes.T.astype(self._dtype).tobytes())
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._frames_left -= codes.shape[1]

    def close(self) -> None:
        """Complete the file."""
        try:
            self._file.close()
        except OSError as error:
            raise unwritable(self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        assert kind is not None or not self._frames_left, "closed before its last frame"


def check_token_path(path: Path) -> None:
    """Raise ParameterError unless the name ends in .npy."""
    if path.suffix.lower() != SUFFIX:
        raise ParameterError(f"{path} ends in {path.suffix!r}: expected {SUFFIX}")
