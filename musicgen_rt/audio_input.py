"""Audio files in: any file that libsndfile knows, as float32 at the rate and channels wanted.

Beside the packages, not in one: melodies for the live engine and the offline tools both read files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from musicgen_rt.errors import AudioFileError, ParameterError

Samples = npt.NDArray[np.float32]
"""Audio [C, N], full scale at +-1."""

BLOCK_SAMPLES = 65536
DEFAULT_MAX_SECONDS = 3600.0


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says; compressed formats may hold fewer samples than they claim."""

    sample_rate_hz: int
    channels: int
    num_samples: int


class StreamResampler:
    """soxr's high quality resampling in blocks, [C, n] in and [C, m] out.

    Feeding blocks and then `finish` gives the same samples as resampling all at once. Holds the
    filter's state: one thread, one signal.
    """

    def __init__(self, in_rate_hz: int, out_rate_hz: int, channels: int) -> None:
        self._channels = channels
        self._stream = soxr.ResampleStream(
            in_rate_hz, out_rate_hz, channels, dtype="float32", quality="HQ"
        )

    def process(self, block: Samples) -> Samples:
        """The next input samples [C, n] -> what they complete of the output [C, m], m >= 0."""
        return self._resample(np.ascontiguousarray(block.T), last=False)

    def finish(self) -> Samples:
        """The rest of the output [C, m]; the stream is at its end."""
        return self._resample(np.zeros((0, self._channels), np.float32), last=True)

    def _resample(self, interleaved: Samples, *, last: bool) -> Samples:
        resampled: Samples = self._stream.resample_chunk(interleaved, last=last)
        return resampled.T


def audio_info(path: str | Path) -> AudioInfo:
    """Reads the header of an audio file. Raises AudioFileError as `audio_blocks` does."""
    with _opened(Path(path)) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames)


def audio_blocks(path: str | Path, block_samples: int = BLOCK_SAMPLES) -> Iterator[Samples]:
    """The file in blocks [C, n <= block_samples] at its own rate and channels; memory stays flat.

    Raises AudioFileError for a file that is missing, not a regular file, not audio, empty or
    damaged, or that holds NaN or infinity.
    """
    path = Path(path)
    done_samples = 0
    with _opened(path) as file:
        while len(block := file.read(block_samples, dtype="float32", always_2d=True)):
            if not np.isfinite(block).all():
                raise AudioFileError(
                    f"{path} holds NaN or infinity within {len(block)} samples of sample "
                    f"{done_samples}: expected finite audio; export it again"
                )
            done_samples += len(block)
            yield block.T
    if done_samples == 0:
        raise AudioFileError(f"{path} has no samples: expected at least one")


def read_audio(
    path: str | Path,
    sample_rate_hz: int | None = None,
    channels: int | None = None,
    *,
    max_seconds: float = DEFAULT_MAX_SECONDS,
) -> Samples:
    """A whole file as float32 [C, N] at the wanted rate and channels; None keeps the file's own.

    Resampling is soxr's high quality. Mono is the mean of all channels; stereo of a mono file is
    that channel twice.

    Raises AudioFileError as `audio_blocks` does, for a file longer than `max_seconds`, and for
    stereo of a file of more than two channels; ParameterError for an impossible wish.
    """
    path = Path(path)
    _check_wish(sample_rate_hz, channels)
    info = audio_info(path)
    wanted_channels = channels or info.channels
    wanted_hz = sample_rate_hz or info.sample_rate_hz
    if wanted_channels > 1 and info.channels not in (1, wanted_channels):
        raise AudioFileError(
            f"{path} has {info.channels} channels: expected 1 or {wanted_channels}; mix it down"
        )
    resampler = StreamResampler(info.sample_rate_hz, wanted_hz, wanted_channels)
    same_rate = wanted_hz == info.sample_rate_hz
    pieces = []
    for block in _limited_blocks(path, info, max_seconds):
        mixed = _mix(block, wanted_channels)
        pieces.append(mixed if same_rate else resampler.process(mixed))
    if not same_rate:
        pieces.append(resampler.finish())
    return np.concatenate(pieces, axis=1)


def _limited_blocks(path: Path, info: AudioInfo, max_seconds: float) -> Iterator[Samples]:
    """The blocks of a file that is at most `max_seconds` long, whatever its header claims."""
    too_long = AudioFileError(
        f"{path} is longer than {max_seconds:g} s: expected at most that; cut it first"
    )
    limit_samples = max_seconds * info.sample_rate_hz
    if info.num_samples > limit_samples:
        raise too_long
    done_samples = 0
    for block in audio_blocks(path):
        done_samples += block.shape[1]
        if done_samples > limit_samples:
            raise too_long
        yield block


def _mix(block: Samples, channels: int) -> Samples:
    """[C, N] -> [channels, N]."""
    if channels == block.shape[0]:
        return block
    if channels == 1:
        mono: Samples = block.mean(axis=0, keepdims=True, dtype=np.float32)
        return mono
    return np.repeat(block, channels, axis=0)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """The file open for reading; libsndfile's errors inside become AudioFileErrors."""
    # libsndfile would wait for ever on a pipe and calls all else a "system error".
    if not path.exists():
        raise AudioFileError(f"{path} does not exist: expected an audio file; check the path")
    if not path.is_file():
        raise AudioFileError(f"{path} is not a regular file: expected an audio file")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        kinds = ", ".join(("WAV", "FLAC", "OGG", "MP3", "AIFF"))
        raise AudioFileError(
            f"{path} cannot be read as audio ({error}): expected an undamaged {kinds} file"
        ) from error


def _check_wish(sample_rate_hz: int | None, channels: int | None) -> None:
    if sample_rate_hz is not None and not 1 <= sample_rate_hz <= 768_000:
        raise ParameterError(f"sample_rate_hz is {sample_rate_hz}: expected 1 to 768000")
    if channels not in (None, 1, 2):
        raise ParameterError(f"channels is {channels}: expected 1 or 2")
