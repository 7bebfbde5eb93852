"""The one way in which the music jumps: from a session frame on, what follows a stream frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Splice:
    """From session frame `session_frame` on one hears the stream from `stream_frame` on.

    Session frames count what is heard, from the daemon's start; stream frames are the engine's
    own. Undo, retry, loops, banks and skips make another splice; session frames just go on.
    """

    session_frame: int
    stream_frame: int

    @property
    def frames_on(self) -> int:
        """How much later a stream frame comes in the session."""
        return self.session_frame - self.stream_frame

    def to_stream(self, session_frame: int) -> int:
        """The stream's frame that is heard at a session frame."""
        return session_frame - self.frames_on

    def to_session(self, stream_frame: int) -> int:
        """The session frame at which a frame of the stream is heard."""
        return stream_frame + self.frames_on
