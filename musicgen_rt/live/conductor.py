"""Carries out actions at their frames, many that wait at once in a single going back."""

from __future__ import annotations

from contextlib import suppress

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import MusicgenRTError, ParameterError
from musicgen_rt.live.action import Action
from musicgen_rt.live.line_moves import beat_of_bar_at, lay, move
from musicgen_rt.live.note_order import NoteOrder, never_begun
from musicgen_rt.live.stage import Stage
from musicgen_rt.live.worker_outbox import Outbox

MAX_PENDING = 4096


class Conductor:
    """What waits for its frame. One thread: the engine's. Frames are session frames."""

    def __init__(self, stage: Stage, outbox: Outbox) -> None:
        self.stage, self._outbox = stage, outbox
        self._pending: list[Action] = []
        self._last_free = (stage.player.splice, 0)
        self._notes = NoteOrder(stage.player)
        # The last jump's name and moment, until there is music of where it led.
        self._jumped: tuple[str, float] | None = None

    @property
    def num_pending(self) -> int:
        return len(self._pending)

    def add(self, action: Action) -> None:
        """Take an action on; one that lies far enough ahead is answered at once.

        Raises ParameterError if too many wait.
        """
        if action.is_urgent:
            self.drop_all(f"dropped by {action.name}")
        if len(self._pending) >= MAX_PENDING:
            raise ParameterError(f"{MAX_PENDING} commands wait for their frames: try again later")
        player = self.stage.player
        if action.is_urgent and action.frame is None:
            action.frame = player.free_frame()
        elif action.is_jump and action.frame is None:
            self._put_on_bar(action, player.free_bar(self._taking_frames(action)))
        else:  # control may not have known of the timeline in force when it sent this
            lay(action, player.timeline, player.hop_samples)
        if not action.is_jump and action.frame is not None and action.frame > player.next_frame:
            self._answer(action, action.frame)
        for note in never_begun(self._pending, action):
            self._pending.remove(note)
            self._answer(note, note.frame or 0)
        self._pending.append(action)

    def set_timeline(self, timeline: Timeline, frame: int) -> None:
        """The session's timeline, which differs from the one before from `frame` on."""
        player = self.stage.player
        later = [a for a in self._pending if a.frame is not None and a.frame >= frame]
        move(later, player.timeline, timeline, player.hop_samples)
        self.stage.set_timeline(timeline, frame)

    def drop_all(self, reason: str) -> None:
        """Forget what waits."""
        for action in self._pending:
            if not action.is_answered:
                self._outbox.failed(action.identity, reason)
        self._pending.clear()

    def carry_out(self) -> None:
        """Do all whose time has come. Raises what is no MusicgenRTError."""
        self._go_on_with_song()  # first: what is asked for at a section's frame is heard in it
        self._change()
        while (jump := self._due_jump()) is not None:
            self._pending.remove(jump)
            self._jump(jump)
            self._change()
        self._go_on_with_song()
        self._tell_song()

    def frames_allowed(self) -> int | None:
        """How many frames may be made before something else is due; None for any number."""
        player, allowed = self.stage.player, []
        for action in self._pending:
            if action.frame is None:
                continue
            frame = action.frame
            if action.is_jump or action.is_waiting:
                frame += self._settling_frames(action)
            if frame > player.next_frame:
                allowed.append(frame - player.next_frame)
        due = self.stage.song.due_frame
        if due is not None and due > player.engine.next_frame:
            allowed.append(due - player.engine.next_frame)
        return min(allowed, default=None)

    def frames_wanted_to(self) -> int | None:
        """A frame up to which music is needed for a jump that comes soon, whatever the lead."""
        player = self.stage.player
        soon = player.free_frame() + 2 * player.pace.margin_frames
        wanted = [
            a.frame + self._settling_frames(a)
            for a in self._pending
            if a.is_jump and a.frame is not None and a.frame <= soon + self._taking_frames(a)
        ]
        return max(wanted, default=None)

    def music_came(self) -> None:
        """The player has written: if it had jumped, that is how long it took."""
        if self._jumped is not None:
            name, jumped_at = self._jumped
            self.stage.player.pace.add_jump(name, self.stage.player.now() - jumped_at)
            self._jumped = None

    def _taking_frames(self, jump: Action) -> int:
        """How long a jump will take; 0 for one that waits for nothing."""
        return 0 if jump.is_urgent else self.stage.player.pace.jump_frames(jump.name)

    def _change(self) -> None:
        """Put the changes that are due into the score, after one going back for all of them."""
        player = self.stage.player
        due = [a for a in self._pending if not a.is_jump and self._is_due(a)]
        if not due:
            return
        free = self._free_frame()
        targets = {id(a): self._target(a, free) for a in due}
        first, given_way_at = min(targets.values()), player.engine.next_frame
        if first < player.next_frame and not all(action.is_unheard() for action in due):
            given_way_at = player.open_frame_of(first)
            samples = [action.sample for action in due if targets[id(action)] == first]
            exact = [sample for sample in samples if sample is not None]
            player.go_back(first, min(exact) if len(exact) == len(samples) else None)
        # Control took these for done when they were answered; what it was told since was of before.
        # A note is no control.
        is_news = any(action.is_answered and action.pitch is None for action in due)
        with self.stage.song.giving_way(given_way_at):
            for action in sorted(due, key=lambda one: targets[id(one)]):
                self._pending.remove(action)
                self._carry_out(action, targets[id(action)])
                if action.frame is None:
                    self._last_free = (player.splice, targets[id(action)])
        self.stage.melody.tell()
        if is_news:
            self._outbox.send("state", **self.stage.controls())

    def _carry_out(self, change: Action, frame: int) -> None:
        again_at = self._notes.again_at(change, frame)
        if self._run(change, frame) and again_at is not None:
            with suppress(MusicgenRTError):
                change.run(again_at)

    def _go_on_with_song(self) -> None:
        """Begin the song's next section if it is due."""
        self.stage.song.go_on(is_waiting=self.stage.player.frozen is not None)

    def _tell_song(self) -> None:
        """Tell what the song has come to."""
        player = self.stage.player
        news = self.stage.song.news()
        if news is None:
            return
        section = news.section
        frame = max(player.session_frame_of(news.frame), player.splice.session_frame)
        if section is not None:
            # What is heard may be stretched, and rounding put it beside its bar line.
            earlier = player.timeline.last_bar_start_at_or_before(frame)
            later = player.timeline.next_bar_start_at_or_after(frame)
            frame = earlier if frame - earlier <= later - frame else later
        fields: dict[str, object] = {"section": None, "frame": frame}
        if section is not None:
            fields |= {"section": section.name, "number": news.number, "bars": section.bars}
        if section is not None and news.moves_clock:
            fields |= {
                "bpm": section.bpm,
                "beats_per_bar": section.beats_per_bar,
                "transition_beats": section.transition_bars * section.beats_per_bar,
            }
        self._outbox.send("song", **fields)
        self._outbox.send("state", **self.stage.controls())

    def _free_frame(self) -> int:
        """Where a change without a frame begins.

        Without going back where that would tear a hole: what is made next is soon heard then too.
        Never before an earlier change, so that the last one counts.
        """
        player = self.stage.player
        splice, frame = self._last_free
        if splice is not player.splice:
            frame = 0
        free = player.free_frame() if player.can_go_back else player.next_frame
        return min(max(free, frame), player.next_frame)

    def _is_due(self, action: Action) -> bool:
        player = self.stage.player
        if action.frame is None:
            return True
        past_frames = player.next_frame - action.frame
        if past_frames < 0 or self._is_after_jump(action.frame):
            return False
        if action.sample is None:
            return True
        if action.is_waiting is None:
            # By then the playhead must not have come too near.
            is_near = action.frame < player.free_frame() + self._settling_frames(action)
            action.is_waiting = player.can_go_back and player.frozen is None and not is_near
        is_settled = past_frames >= self._settling_frames(action) and not player.writer.is_holding
        return is_settled or not action.is_waiting

    def _is_after_jump(self, frame: int) -> bool:
        """Whether a jump comes first: what is asked for at its line is heard where it leads.

        One that its line is too near for is put off, and nothing waits for it.
        """
        return any(
            jump.is_jump
            and jump.frame is not None
            and self._reachable_frame(jump) <= jump.frame <= frame + 1
            for jump in self._pending
        )

    def _reachable_frame(self, jump: Action) -> int:
        """The first frame at which a jump can be heard; once put off it keeps its line."""
        taking = 0 if jump.is_put_off else self._taking_frames(jump)
        return self.stage.player.free_frame(taking)

    def _settling_frames(self, action: Action) -> int:
        """How many frames must follow an action's frame for the sound before it to be complete."""
        player = self.stage.player
        settled = 0 if player.frozen is not None else player.settle_frames
        # What is meant may lie within the frame: a sample, a bar line, the end of a loop.
        return settled + (action.is_jump or action.sample is not None)

    def _target(self, action: Action, free: int) -> int:
        frame = free if action.frame is None else max(action.frame, free)
        return min(frame, self.stage.player.next_frame)

    def _due_jump(self) -> Action | None:
        """The next jump whose frame is reached; the sound before it must be complete."""
        player = self.stage.player
        for action in sorted(
            (a for a in self._pending if a.is_jump), key=lambda one: one.frame or 0
        ):
            assert action.frame is not None
            # Sound before the splice in force is: jumps to one line need not wait for each other.
            is_complete = action.frame <= player.splice.session_frame
            settled_at = action.frame + self._settling_frames(action)
            if action.is_urgent or is_complete or settled_at <= player.next_frame:
                return action
        return None

    def _jump(self, action: Action) -> None:
        player = self.stage.player
        assert action.frame is not None
        # A jump cannot come before what another one has settled, except one that is urgent.
        reachable = self._reachable_frame(action)
        frame = max(action.frame, 0 if action.is_urgent else player.splice.session_frame)
        if action.frame < reachable:
            bar = player.free_bar(self._taking_frames(action))
            frame = max(frame, reachable if action.is_urgent else bar)
            action.is_put_off = True
            settled_at = frame + self._settling_frames(action)
            if not action.is_urgent and settled_at > player.next_frame:
                self._put_on_bar(action, frame)
                self._pending.append(action)
                return
        jumped_at = player.now()
        if self._run(action, frame):
            self._jumped = (action.name, jumped_at)
            self._outbox.send("state", **self.stage.controls())

    def _put_on_bar(self, jump: Action, frame: int) -> None:
        jump.frame, jump.beat = frame, beat_of_bar_at(self.stage.player.timeline, frame)

    def _run(self, action: Action, frame: int) -> bool:
        try:
            detail = dict(action.run(frame) or {})
        except MusicgenRTError as error:
            if action.is_answered:
                self._outbox.error("engine", f"{action.name}: {error}", frame)
            else:
                self._outbox.failed(action.identity, str(error))
            return False
        self._answer(action, detail.pop("frame", frame), **detail)
        return True

    def _answer(self, action: Action, frame: int, **detail: object) -> None:
        if not action.is_answered:
            action.is_answered = True
            if action.sample is not None and frame == action.frame:
                frame = round(action.sample / self.stage.player.hop_samples)
            self._outbox.applied(action.identity, frame, **detail)
