"""What the worker does when the engine fails: goes back, tries another way, or gives up.

A fault that is met here costs some music at most. What cannot be met ends the process, so that
control starts another one: a device that has failed stays failed within a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from musicgen_rt.errors import NonFiniteError
from musicgen_rt.live.action import Action
from musicgen_rt.live.collapse import CollapseDetector
from musicgen_rt.live.conductor import Conductor
from musicgen_rt.live.controls import parameter_edits
from musicgen_rt.live.player import Heard
from musicgen_rt.live.splice import Splice
from musicgen_rt.live.worker_exit import EXIT_ENGINE, GiveUpError
from musicgen_rt.live.worker_outbox import Outbox

_BACK_FRAMES_A_TRY = 8
_TRIES_BEFORE_NEW_WINDOW = 3
_TRIES_BEFORE_NEW_STREAM = 6
_MOST_TRIES = 9
# As long as two bars without any fault ends a series.
_COLLAPSED_BARS = 2
_MOST_RESEEDS = 3
_DEFICIT_REPORT_SECONDS = 2.0
# What PyTorch's messages about a device that no longer works have in common.
_DEVICE_WORDS = ("CUDA error", "CUBLAS_STATUS", "cuDNN error", "device-side assert", "MPS backend")


@dataclass
class FaultCounts:
    """How often what has happened, for the heartbeat."""

    deficits: int = 0
    reseeds: int = 0
    non_finite: int = 0
    collapses: int = 0
    memory: int = 0


class Faults:
    """Remedies, and what they have cost so far. One thread: the engine's."""

    def __init__(
        self,
        conductor: Conductor,
        outbox: Outbox,
        clock: Callable[[], float] = time.monotonic,
        *,
        hears_collapse: bool = True,
    ) -> None:
        stage = conductor.stage
        self.counts = FaultCounts()
        self._conductor, self._stage = conductor, stage
        self._outbox, self._clock = outbox, clock
        self._detector = CollapseDetector(stage.player.buffer.rate_hz) if hears_collapse else None
        self._tries, self._sound_from = 0, 0
        self._reseeds_in_vain = 0
        # What is listened to: after another splice it is other music.
        self._listened = stage.player.splice
        self._last_deficit = float("-inf")

    # NaN and infinity

    def non_finite(self, error: NonFiniteError) -> None:
        """Go back before the failure and on with another seed; after some tries more is given up.

        Nothing of it has been written. Raises GiveUpError.
        """
        self.counts.non_finite += 1
        self._tries += 1
        stage, player = self._stage, self._stage.player
        frame = player.session_frame_of(error.frame)
        self._outbox.error(error.where, str(error), frame)
        if self._tries > _MOST_TRIES:
            raise GiveUpError(EXIT_ENGINE, f"{self._tries} failures in a row: {error}")
        if self._tries > _TRIES_BEFORE_NEW_STREAM:
            stage.begin(stage.fresh_session(), 0, player.free_bar())
        else:
            back_frames = _BACK_FRAMES_A_TRY * self._tries
            target = max(error.frame - back_frames, player.splice.stream_frame)
            target = max(min(target, player.engine.next_frame), player.engine.earliest_return)
            player.go_back(player.session_frame_of(target))
            if self._tries > _TRIES_BEFORE_NEW_WINDOW:
                player.engine.roll_window(at_frame=target)
        self._sound_from = player.engine.next_frame
        self.counts.reseeds += 1
        player.engine.apply(parameter_edits("seed", stage.next_seed(), 0))
        self._outbox.send("state", **stage.controls())

    # Silence and endless tones

    def hear(self, heard: Heard) -> None:
        """Listen to what was made; what has collapsed for two bars is made again otherwise."""
        player, first = self._stage.player, heard.first_sample
        if player.engine.next_frame - self._sound_from > self._bar_frames():
            self._tries = 0
        if self._detector is None or player.frozen is not None:
            return
        if self._listened is not player.splice:
            self._listened = player.splice
            self._detector.forget()
        # What leads into a splice is made and not heard.
        lead_in_samples = max(0, player.splice.session_frame * player.hop_samples - first)
        self._detector.hear(first + lead_in_samples, heard.samples[:, lead_in_samples:])
        kind, samples = self._detector.collapsed_for()
        bars = samples / player.hop_samples / self._bar_frames()
        if self._detector.hears_music:
            self._reseeds_in_vain = 0
        elif kind is not None and bars > _COLLAPSED_BARS and self._reseeds_in_vain < _MOST_RESEEDS:
            self._detector.forget()
            self._reseeds_in_vain += 1
            self._report_collapse(kind, samples)

    def _report_collapse(self, kind: str, samples: int) -> None:
        player, self.counts.collapses = self._stage.player, self.counts.collapses + 1
        timeline = player.engine.timeline
        assert timeline is not None
        seconds = samples / player.buffer.rate_hz
        self._outbox.error("collapse", f"{kind} for {seconds:.1f} s", player.next_frame)
        began = player.stream_end - samples // player.hop_samples - player.settle_frames
        sound_bar = timeline.last_bar_start_at_or_before(max(0, began))
        revive = partial(self._revive, sound_bar, player.splice)
        self._conductor.add(Action("reseed", revive, None, is_jump=True))

    def _revive(self, sound_bar: int, splice: Splice, frame: int) -> None:
        """From `frame` on play what follows the last bar that was sound, with another seed.

        Not if the music that collapsed, of `splice`, has given way to a bank or an undo by then.
        """
        stage = self._stage
        if stage.player.splice is not splice:
            return
        self.counts.reseeds += 1
        if 0 < sound_bar <= stage.player.stream_end and (sound_bar >= stage.engine.earliest_return):
            stage.restart(sound_bar, frame)
        else:
            seed = stage.next_seed()
            stage.begin(stage.fresh_session(), 0, frame)
            stage.engine.apply(parameter_edits("seed", seed, 0))

    def _bar_frames(self) -> float:
        player = self._stage.player
        clock = player.timeline.clock_at(player.next_frame)
        return clock.beats_per_bar * 60 / clock.bpm * player.pace.frame_rate_hz

    # Holes

    def deficit(self, frame: int) -> None:
        """The playhead has passed what was made; the music goes on at `frame`."""
        self.counts.deficits += 1
        now, pace = self._clock(), self._stage.player.pace
        if now - self._last_deficit < _DEFICIT_REPORT_SECONDS:
            return
        self._last_deficit = now
        self._outbox.error(
            "deficit",
            f"the model makes {pace.steps_per_second:.0f} frames a second and "
            f"{pace.frame_rate_hz:.0f} are played: the music goes on at frame {frame}",
            frame,
        )


def is_memory_error(error: BaseException) -> bool:
    """Whether the device, or the machine, has run out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError)


def is_device_error(error: BaseException) -> bool:
    """Whether the device is lost to this process."""
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _DEVICE_WORDS)
