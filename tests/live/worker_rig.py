"""The worker's loop without a process and without real time: the test moves the playhead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_rt.contract.buffer import TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import PlayoutState
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.conductor import Conductor
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.model_swap import ModelSwap
from musicgen_rt.live.resume_file import ResumeFile
from musicgen_rt.live.worker_faults import Faults
from musicgen_rt.live.worker_heart import Heart
from musicgen_rt.live.worker_inbox import Inbox, Message
from musicgen_rt.live.worker_loop import WorkerLoop
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.live.worker_start import StartSettings, ready_facts, set_stage
from musicgen_rt.model.musicgen import MusicGen

HOP = 640
# A bar of four beats at this tempo has 25 frames, half a second.
BPM = 480.0
BAR = 25
HORIZON_FRAMES = 2
BLOCK_SAMPLES = 160
# The stand-in takes the place of the model's own step, which compiled code would pass by.
OPTIONS = EngineOptions(
    window_seconds=4.0, context_seconds=1.2, history_seconds=20.0, compile_step=False
)


class FakeClock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class FakeInbox(Inbox):
    """Messages that the test puts there."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_closed = False

    def take(self, timeout_seconds: float) -> list[Message]:
        messages, self.messages = self.messages, []
        return messages


class Rig:
    """A worker over a buffer, with the playhead and control in the test's hands."""

    def __init__(
        self,
        model: MusicGen,
        *,
        options: EngineOptions = OPTIONS,
        timeline: Timeline | None = None,
        lead_ms: int = 1000,
        resume_folder: Path | None = None,
        is_resume: bool = False,
        state: tuple[tuple[str, list[Any]], ...] = (("prompt/set", [0, "deep house", 1.0, 0]),),
        at_frame: int = 0,
        seed: int = 7,
        hears_collapse: bool = False,
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self.clock = FakeClock()
        self.outbox = Outbox(self._post, self.clock)
        config = model.config
        rate_hz = config.sampling_rate_hz
        self.buffer = TimelineBuffer.create(rate_hz, config.channels, 26 * rate_hz)
        self._place_playhead(at_frame)
        self.timeline = timeline or Timeline.start(BPM)
        commands = [{"id": 0, "name": n, "args": args, "frame": None} for n, args in state]
        settings = StartSettings.from_message(
            {
                "model": model.source,
                "timeline": self.timeline.to_json(),
                "seed": seed,
                "lead": {"lead_ms": lead_ms},
                "state": commands,
                "resume_folder": None if resume_folder is None else str(resume_folder),
                "is_resume": is_resume,
            }
        )
        self.stage, self.is_resumed = set_stage(
            settings, Engine(model, options), self.buffer, self.outbox, self.clock
        )
        self.player = self.stage.player
        self.inbox = FakeInbox()
        self.conductor = Conductor(self.stage, self.outbox)
        self.faults = Faults(self.conductor, self.outbox, self.clock, hears_collapse=hears_collapse)
        self.loop = WorkerLoop(
            self.conductor,
            self.inbox,
            self.outbox,
            Heart(self.outbox.send, clock=self.clock),
            self.faults,
            None if resume_folder is None else ResumeFile(resume_folder, self.stage),
            ModelSwap(self.conductor, self.outbox, MusicGen.load, self._announce),
            lambda: self._announce(self.stage.engine),
        )
        self.heard = np.zeros((config.channels, 0), dtype=np.float32)
        self.heard_from = self.buffer.snapshot().commit_sample
        self._identity = 0
        self._owed_frames = 0.0

    # The playhead

    @property
    def reader_sample(self) -> int:
        return self.buffer.snapshot().reader_sample

    @property
    def reader_frame(self) -> float:
        return self.reader_sample / HOP

    def _place_playhead(self, frame: int) -> None:
        if frame:
            self.buffer.publish_reader(frame * HOP)
            self.buffer.commit((frame + HORIZON_FRAMES) * HOP)
            self.buffer.publish_state(PlayoutState.LIVE, 0)

    def move(self, frames: float) -> None:
        """The playhead goes on; what it commits to is what will be heard. Holes are NaN."""
        self.buffer.publish_state(PlayoutState.LIVE, 0)
        target = self.reader_sample + round(frames * HOP)
        end = target + HORIZON_FRAMES * HOP
        parts = [self.heard]
        for first in range(self.heard_from + self.heard.shape[1], end, BLOCK_SAMPLES):
            samples = self.buffer.claim(first, min(BLOCK_SAMPLES, end - first))
            assert samples is not None
            hole = min(BLOCK_SAMPLES, end - first) - samples.shape[1]
            parts += [samples, np.full((samples.shape[0], hole), np.nan, np.float32)]
        self.buffer.publish_reader(target)
        self.heard = np.concatenate(parts, axis=1)

    def heard_samples(self, first_frame: float, end_frame: float) -> np.ndarray:
        """What was heard of these session frames: [C, N]."""
        first, end = (round(frame * HOP) - self.heard_from for frame in (first_frame, end_frame))
        assert 0 <= first <= end <= self.heard.shape[1]
        return self.heard[:, first:end]

    # Control

    def command(self, name: str, *args: Any, frame: int | None = None) -> int:
        """Put a command into the inbox; its id."""
        self._identity += 1
        self.inbox.messages.append(
            {
                "type": "command",
                "id": self._identity,
                "name": name,
                "args": list(args),
                "frame": frame,
            }
        )
        return self._identity

    def tell(self, kind: str, **fields: Any) -> None:
        """Put another message into the inbox."""
        self.inbox.messages.append({"type": kind, **fields})

    def fill(self, max_turns: int = 400) -> None:
        """Let the loop come round until it has nothing to make."""
        for _ in range(max_turns):
            self.loop.turn()
            if self.loop.wait_seconds() > 0 and not self.inbox.messages:
                return
        raise AssertionError("the loop finds no rest")

    def play(self, frames: int, step: int = 4) -> None:
        """Music goes on for some frames, always filled up."""
        for _ in range(0, frames, step):
            self.fill()
            self.move(step)
        self.fill()

    def _post(self, message: dict[str, Any]) -> None:
        # As through the pipe: what is no JSON is noticed.
        self.messages.append(json.loads(json.dumps(message, allow_nan=False)))

    def live(self, frames: int, on_turn: Callable[[], None] = lambda: None) -> None:
        """Music goes on for some frames while time passes as the loop rests and as steps take it.

        Steps take time where a stand-in's `on_step` says so by `pass_time`.
        """
        end = self.reader_frame + frames
        while self.reader_frame < end:
            wait_seconds = self.loop.wait_seconds()
            self.pass_time(min(wait_seconds, 0.02))
            self.loop.turn()
            on_turn()

    def pass_time(self, seconds: float) -> None:
        """The clock and the playhead go on together."""
        self.clock.seconds += seconds
        self._owed_frames += seconds * 50
        whole = int(self._owed_frames)
        if whole and self._has_begun():
            self.move(whole)
        self._owed_frames -= whole

    def _has_begun(self) -> bool:
        return self.buffer.snapshot().written_end > 0

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def answer(self, identity: int) -> dict[str, Any]:
        """The one answer to a command."""
        answers = [
            message
            for message in self.messages
            if message["type"] in ("applied", "failed") and message["id"] == identity
        ]
        assert len(answers) == 1, f"answers to {identity}: {answers}"
        return answers[0]

    def applied_at(self, identity: int) -> int:
        """The frame at which a command was carried out."""
        answer = self.answer(identity)
        assert answer["type"] == "applied", answer
        frame: int = answer["frame"]
        return frame

    def codes(self, first: int, end: int) -> np.ndarray:
        """The stream's codes [K, end - first]."""
        return self.stage.engine.codes(first, end)

    def _announce(self, engine: Engine) -> None:
        self.outbox.send("ready", **ready_facts(self.stage, "cpu"))
