"""The exceptions of musicgen-rt: every failure that a caller can act on is one of these."""

from __future__ import annotations


class MusicgenRTError(Exception):
    """Base of all errors raised on purpose. The message names the value, the range and the fix."""


class CheckpointError(MusicgenRTError):
    """A checkpoint is missing, damaged, of the wrong shape or in a format that is refused."""


class AudioFileError(MusicgenRTError):
    """An audio or MIDI file cannot be read or written."""


class ParameterError(MusicgenRTError, ValueError):
    """A parameter is outside its range."""


class PromptError(ParameterError):
    """A text prompt is empty, too long or holds control characters."""


class UnsupportedError(MusicgenRTError):
    """The loaded checkpoint cannot do what was asked (a melody on a text-only model, say)."""


class HistoryError(MusicgenRTError):
    """A frame lies outside what the engine still remembers."""


class NonFiniteError(MusicgenRTError):
    """The model produced a NaN or an infinity; nothing was emitted.

    `frame` is the absolute codec frame, `where` is "logits" or "samples".
    """

    def __init__(self, where: str, frame: int) -> None:
        super().__init__(
            f"non-finite {where} at frame {frame}: nothing was emitted; "
            "check the checkpoint and the dtype (float16 overflows on some models), then roll back"
        )
        self.where = where
        self.frame = frame
