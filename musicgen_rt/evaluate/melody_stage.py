"""The worker's stage with the playhead and the keyboard in the measure's hands, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState
from musicgen_rt.contract.command import Command
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.evaluate.melody_venue import LEAD, PROMPT
from musicgen_rt.live.conductor import Conductor
from musicgen_rt.live.controls import require_melody_ability
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.worker_commands import prepare
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.live.worker_start import StartSettings, set_stage
from musicgen_rt.model.musicgen import MusicGen

_LEAD_MS = 600
_COMMITTED_FRAMES = 3
_STEP_FRAMES = 2
_BUFFER_SECONDS = 26


class StageVenue:
    """A stage of its own for each phrase, and no music of others before it."""

    through = "stage"

    def __init__(self, model: MusicGen) -> None:
        """Raises UnsupportedError for a model that follows no melody."""
        require_melody_ability(model.config)
        self._model = model
        conditioning = model.config.frame_conditioning
        attributes = conditioning.attributes if conditioning is not None else ()
        self._calls: list[tuple[Any, ...]] = [("prompt/set", 0, PROMPT, 1.0, 0)]
        if LEAD in attributes:
            self._calls.append(("attr/set", LEAD, "on"))

    @property
    def source(self) -> str:
        return self._model.source

    def stage(self, bpm: float, seed: int) -> MelodyStage:
        return MelodyStage(self._model, bpm, seed, self._calls)

    def faults(self) -> Mapping[str, int]:
        return {}


class MelodyStage:
    """Plays a model as the daemon's worker does. Frames are session frames. One thread."""

    def __init__(
        self, model: MusicGen, bpm: float, seed: int, calls: list[tuple[Any, ...]]
    ) -> None:
        """`calls` are commands to begin with, each a name and its arguments."""
        config = model.config
        self.rate_hz, self._hop_samples = config.sampling_rate_hz, config.hop_samples
        self.timeline = Timeline.start(bpm, frame_rate_hz=config.frame_rate_hz)
        self._buffer = TimelineBuffer.create(
            self.rate_hz, config.channels, _BUFFER_SECONDS * self.rate_hz
        )
        settings = StartSettings(
            model=model.source,
            timeline=self.timeline,
            seed=seed,
            lead_ms=_LEAD_MS,
            state=tuple(Command(0, name, tuple(args)) for name, *args in calls),
        )
        self._answers: dict[int, dict[str, Any]] = {}
        outbox = Outbox(self._post, self._seconds)
        stage, _ = set_stage(settings, Engine(model), self._buffer, outbox, self._seconds)
        self._player, self._stage = stage.player, stage
        self._conductor = Conductor(stage, outbox)
        self._frame, self._identity = 0, 0
        self._parts: list[NDArray[np.float32]] = []
        self._claimed = 0

    @property
    def frame(self) -> int:
        """What is heard now."""
        return self._frame

    def send(self, name: str, *args: Any) -> int:
        """A command, now; the frame from which it is heard. Raises what is wrong with it."""
        self._identity += 1
        self._conductor.add(prepare(Command(self._identity, name, args), self._stage))
        self._fill()
        answer = self._answers[self._identity]
        if answer["type"] == "failed":
            raise MusicgenRTError(answer["reason"])
        frame: int = answer["frame"]
        return frame

    def until(self, frame: int) -> None:
        """Play until a frame is heard."""
        while self._frame < frame:
            self._fill()
            self._frame = min(frame, self._frame + _STEP_FRAMES)
            end = (self._frame + _COMMITTED_FRAMES) * self._hop_samples
            claimed = self._buffer.claim(self._claimed, end - self._claimed)
            assert claimed is not None, "one thread writes and reads"
            self._parts.append(claimed)
            self._claimed += claimed.shape[1]
            self._buffer.publish_reader(self._frame * self._hop_samples)
            self._buffer.publish_state(PlayoutState.LIVE, 0)

    def heard(self) -> NDArray[np.float32]:
        """Mono samples [N] of all that was heard since frame 0."""
        whole: NDArray[np.float32] = np.concatenate(self._parts, axis=1).mean(axis=0)
        return whole[: self._frame * self._hop_samples]

    def _fill(self) -> None:
        player = self._player
        self._conductor.carry_out()
        while player.ahead_frames() < player.lead_frames() or player.writer.is_holding:
            player.play(self._conductor.frames_allowed() or player.pace.chunk_frames)
            self._conductor.carry_out()

    def _seconds(self) -> float:
        """Computing takes no time here: what is measured is the music."""
        return 0.0

    def _post(self, message: dict[str, Any]) -> None:
        if message["type"] in ("applied", "failed"):
            self._answers[message["id"]] = message
