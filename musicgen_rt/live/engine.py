"""The engine: MusicGen as an endless stream that can be steered, and taken back, at any frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.live import controls
from musicgen_rt.live.build import EngineOptions, build_parts
from musicgen_rt.live.chunk import Chunk
from musicgen_rt.live.controls import Edit
from musicgen_rt.live.melody import Melody
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.session import Session
from musicgen_rt.model.musicgen import MusicGen

DEFAULT_CHUNK_FRAMES = 10
MAX_RUN_SECONDS = 1e9


class Engine:
    """A session over a loaded model.

    Every control takes effect at a stated frame (`at_frame`; by default the next one to be made).
    A frame in the past means: go back there and make it again under the change. The music is a
    function of the controls with their frames, the seed, the options, device and weight format;
    it does not depend on chunk sizes or on when a control was set. A control that raises has
    changed nothing. One thread at a time.
    """

    def __init__(self, model: MusicGen, options: EngineOptions | None = None) -> None:
        """Raises ParameterError if the options do not fit the model."""
        self.model = model
        self.options = (options or EngineOptions()).settled(model)
        self.parts = build_parts(model, self.options)
        self.begin(Session(model, self.options, self.parts))

    @classmethod
    def load(
        cls,
        source: str,
        *,
        device: str = "auto",
        weights: str = "auto",
        options: EngineOptions | None = None,
    ) -> Engine:
        """Load a checkpoint (a local folder or a hub id) and start a session on it."""
        return cls(MusicGen.load(source, device=device, weights=weights), options)

    # Where it stands

    @property
    def next_frame(self) -> int:
        """The next frame to be made: where a control without `at_frame` takes effect."""
        return self.session.stream.diagonal

    @property
    def next_sample(self) -> int:
        """The absolute position of the next chunk's first sample."""
        return self.session.audio.emitted_samples

    @property
    def earliest_return(self) -> int:
        """The first frame that can be gone back to."""
        return self.session.earliest_return

    @property
    def timeline(self) -> Timeline | None:
        """Beats and bars over frames, None while no tempo is known."""
        return self.session.stream.timeline

    @property
    def windows_rolled(self) -> int:
        """How often the window has moved on since the start."""
        stream = self.session.stream
        return stream.windows_forgotten + max(0, len(stream.windows) - 1)

    @property
    def is_about_to_fill(self) -> bool:
        """Whether the next step begins with filling a cache or a block, which may take long."""
        return self.session.stream.is_about_to_fill

    def codes(self, first_frame: int, end_frame: int) -> np.ndarray:
        """The undelayed codes [K, T] of complete frames.

        Raises HistoryError for frames that are not complete or are forgotten.
        """
        return self.session.codes(first_frame, end_frame)

    # Making music

    def step(self, frames: int = DEFAULT_CHUNK_FRAMES) -> Chunk:
        """Make `frames` more frames and decode what is complete.

        The first chunks of a stream are shorter: a frame is complete a few frames after it was
        begun, and final audio needs a few frames more. At most a history's length at once. Raises
        NonFiniteError; nothing is emitted then, and a rollback to before its frame or another
        control may help.
        """
        first_sample = self.next_sample
        samples = self.session.step(frames)
        beat = None
        if self.timeline is not None:
            beat = self.timeline.beat_at(first_sample / self.model.config.hop_samples)
        return Chunk(samples, first_sample, self.session.audio.fed_frames, beat)

    def run(self, seconds: float, chunk_frames: int = DEFAULT_CHUNK_FRAMES) -> Iterator[Chunk]:
        """Chunks that together hold exactly the next `seconds` of audio; the last is trimmed.

        The stream itself stands a little further on, see `step`.
        """
        if not 0 <= seconds < MAX_RUN_SECONDS:
            raise ParameterError(f"seconds is {seconds}: expected 0 to {MAX_RUN_SECONDS:g}")
        end = self.next_sample + round(seconds * self.model.config.sampling_rate_hz)
        while (at := self.next_sample) < end:
            chunk = self.step(chunk_frames)
            if chunk.samples.shape[1]:
                wanted = chunk.samples[:, : end - at]
                yield Chunk(wanted, chunk.first_sample, chunk.end_frame, chunk.beat)

    def rollback(self, frame: int) -> None:
        """Go back: the next frame to be made is `frame`. Made again unchanged it is the same.

        Audio is given out again from a few frames before on. Controls set for later frames stay.
        Raises HistoryError for a frame that is forgotten, given or not yet made.
        """
        self.session.rollback(controls.checked_frame("the frame", frame))

    def steps_to_return(self, frame: int) -> int:
        """How many steps `rollback(frame)` costs before the next new frame: 0 where caches reach.

        `roll_window` at that frame avoids them.
        """
        return self.session.stream.steps_to_return(controls.checked_frame("the frame", frame))

    def replay_audio(self, frame: int) -> None:
        """Give out the audio again from a little before `frame` on; what is made stays made.

        Raises HistoryError if that is forgotten or was not given out.
        """
        self.session.replay_audio(controls.checked_frame("the frame", frame))

    # Controls

    def set_prompt(
        self,
        text: str,
        slot: int = 0,
        *,
        weight: float = 1.0,
        ramp_frames: int = 0,
        at_frame: int | None = None,
    ) -> None:
        """Put a text prompt into a slot, its weight reached over `ramp_frames` (from 0 if empty).

        Raises PromptError or ParameterError.
        """
        edits = controls.prompt_edits(slot, text, weight, ramp_frames)
        self.parts.conditions.check(text)
        self.apply(edits, at_frame)

    def set_weight(
        self, slot: int, weight: float, *, ramp_frames: int = 0, at_frame: int | None = None
    ) -> None:
        """Change a prompt's weight, over `ramp_frames`. At 0 the prompt costs nothing."""
        self.apply(controls.weight_edits(slot, weight, ramp_frames), at_frame)

    def clear_prompt(self, slot: int, *, at_frame: int | None = None) -> None:
        """Empty a slot."""
        self.apply(controls.clear_edits(slot), at_frame)

    def set_negative_prompt(self, text: str | None, *, at_frame: int | None = None) -> None:
        """What to move away from: it takes the unconditional row's place."""
        if text is not None:
            self.parts.conditions.check(controls.checked_text(text))
        self.apply([Edit("negative", text)], at_frame)

    def set_parameter(
        self, name: str, value: float, *, ramp_frames: int = 0, at_frame: int | None = None
    ) -> None:
        """Set temperature, cfg, seed, ... (names and ranges: `score.PARAMETERS`)."""
        self.apply(controls.parameter_edits(name, value, ramp_frames), at_frame)

    def set_melody(
        self,
        melody: Melody | None,
        *,
        start_frame: int | None = None,
        at_frame: int | None = None,
    ) -> None:
        """Follow a melody whose own beginning is at `start_frame` (default: where it takes effect).

        Raises UnsupportedError if the checkpoint has neither a chroma prefix nor conditioner.
        """
        placed = None
        if melody is not None:
            controls.require_melody(melody, self.model.config)
            begins = self._frame(at_frame) if start_frame is None else start_frame
            begins = controls.checked_whole(
                "start_frame", begins, -controls.MAX_FRAME, controls.MAX_FRAME
            )
            placed = PlacedMelody(melody, begins, self.model.config.frame_rate_hz)
        self.apply([Edit("melody", placed)], at_frame)

    def set_attribute(self, name: str, is_on: bool | None, *, at_frame: int | None = None) -> None:
        """Ask for an attribute (drums, bass, ...) to be on, off, or free (None)."""
        self.apply(controls.attribute_edits(name, is_on, self.model.config), at_frame)

    def set_tempo(
        self, bpm: float, beats_per_bar: int | None = None, *, at_frame: int | None = None
    ) -> None:
        """Tell the tempo: windows then roll on bars, and a clock conditioner is fed.

        The first call begins beat 0 at its frame. Tempo changes known for later frames are dropped.
        """
        self.session.set_tempo(bpm, beats_per_bar, self._frame(at_frame))

    def join_timeline(
        self, timeline: Timeline, other_frame: int, *, at_frame: int | None = None
    ) -> None:
        """From `at_frame` on beats and bars are what `timeline` says from `other_frame` on.

        The place in the bar may jump there. Tempo changes known for later frames are dropped.
        Raises ParameterError for another frame rate.
        """
        self.session.join_timeline(timeline, other_frame, self._frame(at_frame))

    def apply(self, edits: Sequence[Edit], at_frame: int | None = None) -> None:
        """Carry out edits that the functions of `controls` made and checked."""
        self.session.apply(edits, self._frame(at_frame))

    def truncate_controls(self, frame: int) -> None:
        """Go back to `frame` with the controls of then: drop all that was set for later frames."""
        self.session.truncate_controls(self._frame(frame))

    def drop_coming(self, key: str, at_frame: int) -> None:
        """Go back to `at_frame` and drop what was set for one control from there on."""
        self.session.drop_coming(key, self._frame(at_frame))

    def move_controls(self, source_frame: int, target_frame: int) -> None:
        """Go back to `target_frame` with the controls that stand at `source_frame` and later."""
        source = controls.checked_frame("source_frame", source_frame)
        controls.checked_whole("target_frame", target_frame, 0, source)
        self.session.move_controls(source, self._frame(target_frame))

    def roll_window(self, *, at_frame: int | None = None) -> None:
        """Begin a new window at a frame, as though the one before were full there.

        Going back a long way is quicker so: what is seen is read anew instead of made again.
        """
        self.apply([Edit("roll", True)], at_frame)

    def set_memory(
        self, first_frame: int | None, frames: int = 0, *, at_frame: int | None = None
    ) -> None:
        """Remember a stretch (the opening of a section) in front of later windows.

        It counts from the first window that begins at `at_frame` or later. None forgets it. Raises
        HistoryError for frames that are forgotten or not complete by then, or ParameterError.
        """
        memory = None
        if first_frame is not None:
            first_frame = controls.checked_frame("first_frame", first_frame)
            memory = self.session.remember(first_frame, frames, self._frame(at_frame))
        self.apply([Edit("memory", memory)], at_frame)

    def continue_from(self, samples: np.ndarray, rate_hz: int) -> None:
        """Start over as the continuation of audio [C, N]; it becomes the stream's first frames.

        The last frames of a waveform are dropped: its end corrupts them. Controls are reset.
        Raises ParameterError for audio that is too short, not finite or of the wrong rate or
        channels.
        """
        audio = controls.checked_audio(samples, rate_hz, self.model.config)
        codes = self.model.codec.encode(torch.from_numpy(audio).to(self.model.device))
        self.continue_codes(codes.cpu().numpy())

    def continue_codes(self, codes: np.ndarray, *, audio_from: int = 0) -> None:
        """Start over as the continuation of codes [K, T], such as `codes` gives.

        Their audio is given out from frame `audio_from` on. Controls are reset. Raises
        ParameterError for another shape or codes out of range.
        """
        checked = controls.checked_codes(codes, self.model.config.lm)
        controls.checked_whole("audio_from", audio_from, 0, checked.shape[1])
        self.reset()
        self.session.give(checked, audio_from)

    def reset(self) -> None:
        """Forget everything: frame 0 again, all controls at their defaults."""
        self.begin(Session(self.model, self.options, self.parts))

    def begin(self, session: Session) -> None:
        """Go on with another session of the same model, options and parts."""
        self.parts.pool.forget_from(0)
        self.session = session

    # Keeping a session

    def snapshot(self, path: Path, *, with_cache: bool = True) -> None:
        """Save the session to a file for `restore`; the cache is most of it, or made again then."""
        from musicgen_rt.live.snapshot import save

        save(self, path, with_cache=with_cache)

    def restore(self, path: Path) -> None:
        """Go on from a snapshot of the same model and options.

        Raises CheckpointError for any other file, and has then changed nothing.
        """
        from musicgen_rt.live.snapshot import load

        load(self, path)

    def log(self) -> dict[str, Any]:
        """All that makes this session, as JSON for `replay`. HistoryError if some is forgotten."""
        from musicgen_rt.live.session_log import session_log

        return session_log(self)

    @classmethod
    def replay(cls, model: MusicGen, log: Mapping[str, Any]) -> Engine:
        """An engine at frame 0 in which a logged session is scheduled. Raises CheckpointError."""
        from musicgen_rt.live.session_log import replay

        return replay(cls, model, log)

    def release_memory(self) -> None:
        """Let go of what only saves time: windows that are read ahead or can be gone back to."""
        self.session.stream.caches.release()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _frame(self, at_frame: int | None) -> int:
        """The frame a control starts at. Raises if that cannot be gone back to."""
        if at_frame is None:
            return self.next_frame
        frame = controls.checked_frame("at_frame", at_frame)
        if frame < self.next_frame:
            self.session.require(frame)
        return frame
