"""The model plays what a request asks for, live: conditions set when their frame has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from musicgen_rt.evaluate.pocket_pieces import Request, Samples, Take
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import DEFAULT_CHUNK_FRAMES, Engine
from musicgen_rt.live.melody import Melody, melody_from_notes
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note

GUIDANCE = 3.0


@dataclass(frozen=True)
class Event:
    """Something that the host does when frame `frame` is about to be made."""

    frame: int
    act: Callable[[Engine], None]


@dataclass(frozen=True)
class Told:
    """Which parts of a request the model is told beside its text."""

    clock: bool = True
    melody: bool = True
    attributes: bool = True


class Player:
    """An engine that plays request after request. One thread."""

    def __init__(self, model: MusicGen, options: EngineOptions | None = None) -> None:
        self.engine = Engine(model, options)
        self._kept: list[Samples] = []

    @property
    def model(self) -> MusicGen:
        """What plays."""
        return self.engine.model

    @property
    def has_clock(self) -> bool:
        """Whether the model can be told the beats."""
        conditioning = self.model.config.frame_conditioning
        return conditioning is not None and conditioning.clock is not None

    @property
    def has_melody(self) -> bool:
        """Whether the model can be told a melody."""
        conditioning = self.model.config.frame_conditioning
        has_chroma = conditioning is not None and conditioning.chroma
        return self.model.config.kind == "melody" or has_chroma

    @property
    def attributes(self) -> tuple[str, ...]:
        """The parts that can be asked for by name."""
        conditioning = self.model.config.frame_conditioning
        return () if conditioning is None else conditioning.attributes

    def play(
        self,
        request: Request,
        seconds: float,
        *,
        seed: int,
        told: Told | None = None,
        events: Sequence[Event] = (),
    ) -> Take:
        """A take of so many seconds; the same for the same arguments."""
        self.begin(request, seconds, seed=seed, told=told or Told())
        return Take(request, self.go_on(seconds, events), self.model.config.sampling_rate_hz)

    def begin(self, request: Request, seconds: float, *, seed: int, told: Told) -> None:
        """Starts a new session under the request's conditions; its melody lasts `seconds`."""
        engine = self.engine
        engine.reset()
        self._kept = []
        engine.set_parameter("seed", seed)
        engine.set_parameter("cfg", GUIDANCE)
        engine.set_prompt(request.prompt)
        if told.clock:
            engine.set_tempo(request.bpm, request.grid.beats_per_bar)
        if told.melody and request.melody and self.has_melody:
            engine.set_melody(melody_of(request.melody, seconds))
        if told.attributes:
            for name in self.attributes:
                if name in request.roles:
                    engine.set_attribute(name, request.roles[name])

    def until(self, frame: int) -> None:
        """Plays up to where `frame` is the next one to be made; `go_on` gives the audio."""
        engine = self.engine
        while (left := frame - engine.next_frame) > 0:
            chunk = engine.step(min(DEFAULT_CHUNK_FRAMES, left))
            self._kept.append(chunk.samples.mean(axis=0))

    def go_on(self, seconds: float, events: Sequence[Event] = ()) -> Samples:
        """The next seconds of the session [N]; events happen when their frame is next."""
        for event in sorted(events, key=lambda event: event.frame):
            self.until(event.frame)
            event.act(self.engine)
        wanted = round(seconds * self.model.config.sampling_rate_hz)
        while sum(map(len, self._kept)) < wanted:
            self.until(self.engine.next_frame + DEFAULT_CHUNK_FRAMES)
        samples = np.concatenate(self._kept)
        self._kept = [samples[wanted:]]
        return samples[:wanted]


def melody_of(notes: Sequence[Note], seconds: float) -> Melody:
    """Notes as the engine's melody, played once: rests up to `seconds`, then nothing is asked."""
    inside = [note for note in notes if note.start_seconds < seconds]
    cut = [replace(note, end_seconds=min(note.end_seconds, seconds)) for note in inside]
    return melody_from_notes(cut, length_seconds=seconds)
