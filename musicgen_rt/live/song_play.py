"""Plays a song on an engine, and keeps what is to be recalled while it is fresh."""

from __future__ import annotations

from musicgen_rt.live.chunk import Chunk
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.score import PARAMETERS
from musicgen_rt.live.song import Song
from musicgen_rt.live.song_plan import Recall, compile_song


class SongPlayer:
    """An engine that plays a song from its next frame on. One thread, the engine's.

    All that is known is put into the score at once, each control at its frame. Opening bars that
    are recalled are remembered as soon as they are made: later an engine may have forgotten them.
    """

    def __init__(self, song: Song, engine: Engine) -> None:
        """Numbers that the song leaves open are those that the engine stands at.

        Raises ParameterError as `compile_song`, UnsupportedError for what the model cannot do.
        """
        self._engine = engine
        stream, config = engine.session.stream, engine.model.config
        self.plan = compile_song(
            song,
            config.frame_rate_hz,
            {name: stream.score.at(name, engine.next_frame) for name in PARAMETERS},
            stream.parts.plan.longest_memory_frames,
            engine.next_frame,
        )
        self._max_delay_frames = max(config.lm.delays)
        self._waiting = sorted(self.plan.recalls, key=self._due_frame)
        for text in song.texts:
            engine.parts.conditions.check(text)
        engine.join_timeline(
            self.plan.timeline, self.plan.first_frame, at_frame=self.plan.first_frame
        )
        for cue in self.plan.cues:
            engine.apply(cue.edits, cue.frame)

    def step(self, frames: int) -> Chunk:
        """Make up to `frames` more frames: fewer where opening bars become complete."""
        self._remember_complete()
        if self._waiting:
            frames = min(frames, self._due_frame(self._waiting[0]) - self._engine.next_frame)
        return self._engine.step(frames)

    def _remember_complete(self) -> None:
        engine = self._engine
        while self._waiting and self._due_frame(self._waiting[0]) <= engine.next_frame:
            recall = self._waiting.pop(0)
            complete = engine.next_frame - self._max_delay_frames - recall.first_frame
            if (frames := min(recall.frames, complete)) > 0:
                engine.set_memory(recall.first_frame, frames, at_frame=recall.at_frame)

    def _due_frame(self, recall: Recall) -> int:
        """Where the last of its frames is complete in all codebooks."""
        complete = recall.first_frame + recall.frames + self._max_delay_frames
        # All of the section just before is remembered as far as it is complete when it ends.
        return min(complete, recall.at_frame)
