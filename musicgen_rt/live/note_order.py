"""What comes later of a note counts: no key that was let go of sounds on, or again.

A note may be struck for a moment to come, and be let go of before it. Then it never begins; or, if
it lies in music that is made already, it ends where it begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from musicgen_rt.contract.command import Command
from musicgen_rt.live.action import Action
from musicgen_rt.live.player import Player
from musicgen_rt.live.splice import Splice

_NOTE_ON, _NOTE_OFF = "melody/note_on", "melody/note_off"


def pitch_of(command: Command) -> int | None:
    """The pitch that a command strikes or lets go of, if it is a note's."""
    if command.name not in (_NOTE_ON, _NOTE_OFF):
        return None
    pitch = command.args[0]
    return pitch if isinstance(pitch, int) else None


def never_begun(pending: Sequence[Action], action: Action) -> list[Action]:
    """The notes to come that `action` lets go of: all that have no end of their own."""
    if action.name != _NOTE_OFF:
        return []
    end = -1 if action.frame is None else action.frame
    coming = [
        ((one.frame, index), one)
        for index, one in enumerate(pending)
        if one.pitch == action.pitch and one.frame is not None and one.frame > end
    ]
    ends = [place for place, one in coming if one.name == _NOTE_OFF]
    last_end = max(ends, default=(-1, -1))
    return [one for place, one in coming if one.name == _NOTE_ON and place > last_end]


class NoteOrder:
    """Where the last note of each pitch was carried out. One thread: the engine's."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._splice: Splice = player.splice
        self._stream_frames: dict[int, int] = {}

    def again_at(self, action: Action, frame: int) -> int | None:
        """Where an action that is carried out at `frame` must be so once more, if anywhere.

        What was carried out for a later moment before it came would else have the last word.
        """
        if action.pitch is None:
            return None
        player = self._player
        if self._splice is not player.splice:  # what was to come there does not
            self._splice = player.splice
            self._stream_frames.clear()
        stream_frame = player.stream_frame_of(frame)
        last = self._stream_frames.get(action.pitch, stream_frame)
        self._stream_frames[action.pitch] = max(stream_frame, last)
        if last <= stream_frame:
            return None
        later = player.session_frame_of(last)
        return later if player.stream_frame_of(later) >= last else later + 1
