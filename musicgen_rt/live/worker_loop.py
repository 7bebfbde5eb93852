"""The engine's one loop: messages in, music out, and nothing else runs the engine."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from musicgen_rt.contract.buffer import BehindCommitError
from musicgen_rt.contract.command import Command
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import MusicgenRTError, NonFiniteError
from musicgen_rt.live import jumps, memory_shortage
from musicgen_rt.live.beat_rerolls import BeatRerolls
from musicgen_rt.live.buffer_writer import Written
from musicgen_rt.live.conductor import Conductor
from musicgen_rt.live.controls import parameter_edits
from musicgen_rt.live.model_swap import ModelSwap
from musicgen_rt.live.note_order import pitch_of
from musicgen_rt.live.resume_file import ResumeFile
from musicgen_rt.live.worker_commands import prepare
from musicgen_rt.live.worker_exit import EXIT_DEVICE, EXIT_ENGINE, EXIT_OK, GiveUpError
from musicgen_rt.live.worker_faults import Faults, is_device_error, is_memory_error
from musicgen_rt.live.worker_heart import LOADING_SECONDS, Heart
from musicgen_rt.live.worker_inbox import Inbox, Message
from musicgen_rt.live.worker_outbox import Outbox

_LONGEST_WAIT_SECONDS = 0.1
_SHORTEST_WAIT_SECONDS = 0.002
# Errors that nobody expects: so many in a row, and something is wrong for good.
_MOST_ODD_ERRORS = 5


class WorkerLoop:
    """Everything of the worker that happens after the model has been loaded. [engine]"""

    def __init__(
        self,
        conductor: Conductor,
        inbox: Inbox,
        outbox: Outbox,
        heart: Heart,
        faults: Faults,
        resume_file: ResumeFile | None,
        swap: ModelSwap,
        began: Callable[[], None],
    ) -> None:
        """`began` is told when the first music stands in the buffer."""
        self.conductor, self.faults = conductor, faults
        self._inbox, self._outbox, self._heart = inbox, outbox, heart
        self._resume_file, self._swap = resume_file, swap
        self._began, self._has_begun = began, False
        self._rerolls = BeatRerolls(conductor.stage)
        self._odd_errors = 0
        self._is_short_of_memory = False

    def run(self) -> int:
        """Until control wants no more, or the engine cannot go on: the exit code."""
        try:
            while not self._inbox.is_closed:
                self.turn(self.wait_seconds())
        except GiveUpError as error:
            self._outbox.error("device", str(error), self._frame())
            return error.exit_code
        except Exception as error:
            traceback.print_exc()
            self._outbox.error("engine", f"{type(error).__name__}: {error}", self._frame())
            return EXIT_DEVICE if is_device_error(error) else EXIT_ENGINE
        return EXIT_OK

    def turn(self, wait_seconds: float = 0.0) -> None:
        """Once round: what has come, what is due, and a little music if it is wanted."""
        self._heart.touch(self._vitals())
        for message in self._inbox.take(wait_seconds):
            self.receive(message)
        self._swap.poll()
        try:
            self._work()
        except NonFiniteError as error:
            self.faults.non_finite(error)
        except BehindCommitError:
            self._skip()
        except MusicgenRTError as error:
            self._odd(error)
        except Exception as error:
            if not is_memory_error(error):
                raise
            self._make_room(error)
        self._outbox.flush()

    def wait_seconds(self) -> float:
        """How long nothing needs to be made."""
        player = self.conductor.stage.player
        if self._wants_music():
            return 0.0
        spare_frames = player.ahead_frames() - player.lead_frames() + player.pace.chunk_frames
        seconds = spare_frames / player.pace.frame_rate_hz
        return max(_SHORTEST_WAIT_SECONDS, min(seconds, _LONGEST_WAIT_SECONDS))

    def _work(self) -> None:
        player = self.conductor.stage.player
        with self._heart.working():
            self.conductor.carry_out()
        if player.is_behind:
            self._skip()
        written = player.flush()
        if written is not None:
            self._wrote(written)
        if not self._wants_music():
            return
        if not self._has_begun:  # compiles, captures graphs, reads a window
            with self._heart.working(LOADING_SECONDS):
                self._play()
        elif player.engine.is_about_to_fill:
            with self._heart.working():
                self._play()
        else:
            self._play()
        self._odd_errors, self._is_short_of_memory = 0, False

    def _play(self) -> None:
        player = self.conductor.stage.player
        allowed = self.conductor.frames_allowed() or player.pace.chunk_frames
        heard = player.play(allowed)
        if heard.written is not None:
            self._wrote(heard.written)
            if not self._has_begun:
                self._has_begun = True
                self._began()
        self.faults.hear(heard)
        self._rerolls.consider()
        if self._resume_file is not None:
            problem = self._resume_file.keep()
            if problem is not None:
                self._outbox.error("resume", problem, self._frame())

    def _wrote(self, written: Written) -> None:
        self._outbox.written(written)
        self.conductor.music_came()

    def _wants_music(self) -> bool:
        """Whether to make some now: the lead is short, or a change is on its way to the ear."""
        player = self.conductor.stage.player
        chunk_samples = player.pace.chunk_frames * player.hop_samples
        if player.writer.end_sample + chunk_samples > player.writer.room_end:
            return False
        if player.writer.lacks(player.pace.reserve_frames * player.hop_samples):
            return True
        wanted_to = self.conductor.frames_wanted_to()
        if wanted_to is not None and player.next_frame < wanted_to:
            return True
        # A whole chunk at a time, so that the loop rests in between.
        return player.ahead_frames() + player.pace.chunk_frames <= player.lead_frames()

    def receive(self, message: Message) -> None:
        """One message of control."""
        kind, identity = message["type"], message.get("id")
        handler = _HANDLERS.get(kind)
        if handler is None:
            return
        try:
            with self._heart.working():
                handler(self, message)
        except (MusicgenRTError, KeyError, TypeError, ValueError) as error:
            waits = isinstance(identity, int)
            reason = str(error) if isinstance(error, MusicgenRTError) else repr(error)
            if waits:
                self._outbox.failed(identity, reason)
            else:
                self._outbox.error("engine", f"{kind}: {reason}", self._frame())

    def _command(self, message: Message) -> None:
        command = Command.from_json(message)
        action = prepare(command, self.conductor.stage)
        action.beat, action.pitch = command.beat, pitch_of(command)
        self.conductor.add(action)
        if command.name == "prompt/set":
            self._suggest(*command.args[:2])

    def _timeline(self, message: Message) -> None:
        timeline = Timeline.from_json(message["timeline"])
        self.conductor.set_timeline(timeline, int(message["frame"] or 0))

    def _lead(self, message: Message) -> None:
        stage = self.conductor.stage
        stage.player.pace.set_lead(round(message["lead_ms"]))
        stage.player.beats.is_on = bool(message.get("lock", True))
        stage.asks_tempo = bool(message.get("ask_tempo", True))
        stage.ask_tempo(stage.player.next_frame)
        bars = message.get("context_bars")
        if bars is not None:
            edits = parameter_edits("context_bars", bars, 0)
            stage.player.apply(edits, stage.player.next_frame)

    def _swap_model(self, message: Message) -> None:
        self._swap.begin(message)

    def _suggest(self, slot: Any, text: Any) -> None:
        """Tell the tempo that a prompt speaks of, if the model can hear it."""
        reader = self.conductor.stage.engine.model.text_attributes
        if reader is None:
            return
        heard: Mapping[str, Any] = reader.predict(text)
        self._outbox.send(
            "suggestion", slot=slot, bpm=heard["bpm"], confidence=heard["bpm_confidence"]
        )

    def _skip(self) -> None:
        """There is a hole in front of the music: go on beyond it, on a bar line."""
        frame = jumps.skip(self.conductor.stage.player)
        if self._has_begun:
            self.faults.deficit(frame)

    def _odd(self, error: MusicgenRTError) -> None:
        self._odd_errors += 1
        self._outbox.error("engine", str(error), self._frame())
        if self._odd_errors >= _MOST_ODD_ERRORS:
            raise GiveUpError(EXIT_ENGINE, f"{self._odd_errors} errors in a row: {error}")

    def _make_room(self, error: Exception) -> None:
        """Out of memory: what can be spared goes first, then half of the window."""
        self.faults.counts.memory += 1
        stage = self.conductor.stage
        if not self._is_short_of_memory:
            self._is_short_of_memory = True
            done: str | None = memory_shortage.release(stage)
        else:
            with self._heart.working():
                done = memory_shortage.shrink(stage)
        if done is None:
            raise GiveUpError(EXIT_DEVICE, f"out of memory, and nothing is left to spare: {error}")
        self._outbox.error("memory", f"out of memory: {done}", self._frame())

    def _frame(self) -> int:
        return self.conductor.stage.player.next_frame

    def _vitals(self) -> dict[str, Any]:
        player, counts = self.conductor.stage.player, self.faults.counts
        return {
            "next_frame": player.next_frame,
            "written_end": player.buffer.snapshot().written_end,
            "steps_per_second": round(player.pace.steps_per_second, 1),
            "rolls": player.engine.windows_rolled,
            "deficits": counts.deficits,
            "reseeds": counts.reseeds,
            "non_finite": counts.non_finite,
            "collapses": counts.collapses,
            "pending": self.conductor.num_pending,
            "frozen": player.frozen is not None,
            "beats": {**asdict(player.beats.report()), "rerolls": self._rerolls.count},
            "is_loading": False,
        }


_HANDLERS: Mapping[str, Callable[[WorkerLoop, Message], None]] = {
    "command": WorkerLoop._command,
    "timeline": WorkerLoop._timeline,
    "lead": WorkerLoop._lead,
    "swap": WorkerLoop._swap_model,
}
