"""Audio files out, and in again: a streaming writer that never leaves half a file under its name.

Reading lives in `musicgen_rt.audio_input` and is offered here beside the writer.
"""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import soundfile

from musicgen_rt.audio_input import (
    AudioInfo,
    Samples,
    StreamResampler,
    audio_blocks,
    audio_info,
    read_audio,
)
from musicgen_rt.errors import AudioFileError, ParameterError

__all__ = [
    "AudioInfo",
    "AudioWriter",
    "Encoding",
    "Samples",
    "StreamResampler",
    "audio_blocks",
    "audio_info",
    "read_audio",
]

Encoding = Literal["float32", "pcm_24"]

_SUBTYPES: dict[Encoding, str] = {"float32": "FLOAT", "pcm_24": "PCM_24"}
_SAMPLE_BYTES: dict[Encoding, int] = {"float32": 4, "pcm_24": 3}
_ENCODINGS: dict[str, tuple[Encoding, ...]] = {
    ".wav": ("float32", "pcm_24"),
    ".flac": ("pcm_24",),
}
_WAV_MAX_BYTES = 2**32 - 2**16  # sizes are 32 bits wide; the rest is room for headers
_MAX_CHANNELS = 8
_MAX_RATE_HZ = 655_350  # the most that FLAC can say


class AudioWriter:
    """Writes a .wav or .flac file in blocks, under a temporary name until it is complete.

    Use it in a `with` block: leaving it renames the file to `path`, replacing what was there;
    leaving it by an exception removes the temporary file and touches nothing else. One thread.

    `encoding` defaults to float32 for WAV and to 24-bit PCM (which clips at full scale) for FLAC,
    the only one FLAC has. Give `expected_samples` when the length is known: WAV files of more than
    4 GiB are then written as RF64, which most programs read under the name .wav.

    Raises ParameterError for an unknown suffix, an encoding the format lacks, or an impossible
    rate or channel count, and AudioFileError where a file cannot be made or written (folder
    missing, no permission, disk full, WAV beyond 4 GiB).
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate_hz: int,
        channels: int,
        encoding: Encoding | None = None,
        *,
        expected_samples: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.num_samples = 0
        self.channels = channels
        self.encoding = _checked_encoding(self.path, encoding)
        _check_layout(sample_rate_hz, channels)
        self._sample_bytes = channels * _SAMPLE_BYTES[self.encoding]
        expected_bytes = (expected_samples or 0) * self._sample_bytes
        self._format = self.path.suffix[1:].upper()
        if self._format == "WAV" and expected_bytes > _WAV_MAX_BYTES:
            self._format = "RF64"
        # Beside the target, so that the rename stays within one file system.
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")
        try:
            self._file = soundfile.SoundFile(
                self._temporary,
                "x",
                sample_rate_hz,
                channels,
                _SUBTYPES[self.encoding],
                format=self._format,
            )
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unwritable(error) from error

    def write(self, samples: Samples) -> None:
        """Appends samples [C, N]; N may be 0.

        Raises AudioFileError for samples of another shape or that are not finite, and when the
        disk takes no more.
        """
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise AudioFileError(
                f"samples for {self.path} have the shape {samples.shape}: "
                f"expected [{self.channels}, N]"
            )
        if not np.isfinite(samples).all():
            raise AudioFileError(
                f"samples for {self.path} hold NaN or infinity after sample {self.num_samples}: "
                "expected finite audio"
            )
        total_samples = self.num_samples + samples.shape[1]
        if self._format == "WAV" and total_samples * self._sample_bytes > _WAV_MAX_BYTES:
            raise AudioFileError(
                f"{self.path} would be larger than 4 GiB, the most a WAV file holds: "
                "write a .flac file, or give the expected length at the start"
            )
        try:
            self._file.write(np.ascontiguousarray(samples.T))
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unwritable(error) from error
        self.num_samples = total_samples

    def close(self) -> None:
        """Completes the file and gives it its name. Closing twice does nothing.

        Raises AudioFileError, and removes the temporary file, if the file is not complete.
        """
        if self._file.closed:
            return
        try:
            self._file.close()
            self._check_last_sample()
            self._temporary.replace(self.path)
        except (soundfile.SoundFileError, OSError) as error:
            self.abort()
            raise self._unwritable(error) from error

    def abort(self) -> None:
        """Removes the temporary file; `path` keeps what it had. After `close` it does nothing."""
        with contextlib.suppress(soundfile.SoundFileError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _check_last_sample(self) -> None:
        """A full disk can swallow the last block without a word, so look whether it is there."""
        with soundfile.SoundFile(self._temporary) as file:
            if file.frames != self.num_samples:
                raise OSError(f"{file.frames} of {self.num_samples} samples were written")
            if self.num_samples:
                file.seek(self.num_samples - 1)
                if len(file.read(1)) != 1:
                    raise OSError("the last samples are missing")

    def _unwritable(self, error: Exception) -> AudioFileError:
        return AudioFileError(
            f"{self.path} cannot be written ({str(error).strip(': ')}): expected a folder that "
            "exists, allows writing and has room; check the path, its permissions and the disk"
        )


def _checked_encoding(path: Path, encoding: Encoding | None) -> Encoding:
    allowed = _ENCODINGS.get(path.suffix.lower())
    if allowed is None:
        raise ParameterError(f"{path} ends in {path.suffix!r}: expected {' or '.join(_ENCODINGS)}")
    if encoding is None:
        return allowed[0]
    if encoding not in allowed:
        raise ParameterError(
            f"the encoding is {encoding!r}: expected {' or '.join(allowed)} for {path.suffix}"
        )
    return encoding


def _check_layout(sample_rate_hz: int, channels: int) -> None:
    if not 1 <= sample_rate_hz <= _MAX_RATE_HZ:
        raise ParameterError(f"sample_rate_hz is {sample_rate_hz}: expected 1 to {_MAX_RATE_HZ}")
    if not 1 <= channels <= _MAX_CHANNELS:
        raise ParameterError(f"channels is {channels}: expected 1 to {_MAX_CHANNELS}")
