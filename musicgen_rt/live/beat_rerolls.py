"""Makes a bar again that has lost the beat, before it is heard."""

from __future__ import annotations

from musicgen_rt.live.controls import parameter_edits
from musicgen_rt.live.stage import Stage

# So often a bar is made again; after that it is played as it is.
_MOST_TRIES = 2
# A reading looks back over several beats: what has turned it began about so long before.
_LOOKS_BACK_BEATS = 2.0


class BeatRerolls:
    """Watches the lock of one stage. One thread: the engine's.

    A bar is hopeless when beats are heard clearly, and not where those before it lead one to
    expect them: too far off to be moved there. What of it has not been committed to the device is
    made again with another seed. So the lead decides how much of it can be saved.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._bar, self._tries = -1, 0
        self.count = 0

    def consider(self) -> None:
        """Look at what was made last. Raises HistoryError if that is forgotten."""
        player = self._stage.player
        beats, asked = player.beats, player.engine.timeline
        lock = beats.lock
        if not beats.is_on or player.frozen is not None or asked is None:
            return
        if not (lock.is_acting and lock.surprising) or not player.can_go_back:
            return
        lost_frame = round(asked.frame_at(lock.last_heard_beat - _LOOKS_BACK_BEATS))
        bar_frame = asked.last_bar_start_at_or_before(max(0, lost_frame))
        tries = self._tries + 1 if bar_frame == self._bar else 1
        target = max(player.session_frame_of(bar_frame), player.free_frame())
        if tries > _MOST_TRIES or target >= player.next_frame:
            return
        self._bar, self._tries = bar_frame, tries
        self.count += 1
        seed = self._stage.next_seed()
        player.go_back(target)
        player.apply(parameter_edits("seed", seed, 0), target)
