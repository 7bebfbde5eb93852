"""Makes a bar again that has lost the beat, before it is heard; of several the best is played."""

from __future__ import annotations

from dataclasses import dataclass

from musicgen_rt.live.controls import parameter_edits
from musicgen_rt.live.stage import Stage

# So often a bar is made again; after that the best is played.
_MOST_TRIES = 2
# A reading looks back over several beats: what has turned it began about so long before.
_LOOKS_BACK_BEATS = 2.0


@dataclass(frozen=True)
class _Try:
    """A bar as it was made from a session frame on with a seed; `support` is a lock's."""

    frame: int
    seed: int
    support: float


class BeatRerolls:
    """Watches the lock of one stage. One thread: the engine's.

    A bar is hopeless when beats are heard clearly, and not where those before it lead one to
    expect them: too far off to be moved there. What of it has not been committed to the device is
    made again with another seed. So the lead decides how much of it can be saved. If all tries are
    hopeless the one is played in which most onsets lay where beats were expected, as far as it can
    still be made from the same frame on: the same seed makes the same music.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._bar, self._tries = -1, list[_Try]()
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
        target = max(player.session_frame_of(bar_frame), player.free_frame())
        before = self._tries if bar_frame == self._bar else []
        if len(before) > _MOST_TRIES or target >= player.next_frame:
            return
        score = player.engine.session.stream.score
        seed = int(score.at("seed", player.open_frame_of(target)))
        self._bar, self._tries = bar_frame, [*before, _Try(target, seed, lock.support)]
        if len(before) < _MOST_TRIES:
            self._make_again(target, self._stage.next_seed())
            return
        best = max(reversed(self._tries), key=lambda one: one.support)
        if best.frame == target and best.seed != seed:
            self._make_again(target, best.seed)

    def _make_again(self, frame: int, seed: int) -> None:
        self.count += 1
        player = self._stage.player
        player.go_back(frame)
        player.apply(parameter_edits("seed", seed, 0), frame)
