"""Phrases played over OSC into a whole daemon, and heard as the PCM that it publishes.

One daemon plays them all: each begins anew on a bar line, at its own tempo. Nothing is timed but
by what the daemon says: a key goes down when the sound of its beat has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import librosa
import numpy as np
from numpy.typing import NDArray

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import MusicgenRTError, UnsupportedError
from musicgen_rt.evaluate.melody_ear import PhraseEar
from musicgen_rt.evaluate.melody_venue import LEAD, PROMPT
from musicgen_rt.evaluate.stage_daemon import StageDaemon

# A busy machine may answer late; what is judged is only what the answer says.
_ANSWER_SECONDS = 30.0
# What is published waits so long in the output's queue (`horizon_ms`) until it is heard.
_QUEUED_SECONDS = 0.06
_MOST_BEGINNINGS = 5
# Beats in answers are 32-bit floats.
_BEAT_GRACE = 1e-3
# A bar line is told as the frame nearest to it.
_LINE_GRACE_FRAMES = 0.6


class DaemonVenue:
    """A daemon with a null output and ports of its own. A context manager that ends it.

    `folder` holds its log and data; arguments are those of `jam`, `program` as of StageDaemon.
    """

    through = "daemon"

    def __init__(
        self,
        folder: Path,
        source: str,
        *arguments: object,
        program: Sequence[str] = ("bridge",),
    ) -> None:
        self.source = source
        asked = ("--output", "null", "--model", source, "--prompt", PROMPT, *arguments)
        self._daemon = StageDaemon(folder, *asked, program=program)
        self._ear: PhraseEar | None = None
        self._rate_hz = self._hop_samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ear is not None:
            self._ear.close()
        self._daemon.end()

    def stage(self, bpm: float, seed: int) -> DaemonMelodyStage:
        """The daemon's music begun anew. The stage before is over.

        Raises MusicgenRTError where the daemon does not do as it should, UnsupportedError for a
        model that follows no melody.
        """
        ear = self._ear if self._ear is not None else self._begin()
        self.tell("melody/clear")
        self.tell("param/set/seed", seed)
        self.tell("clock/tempo", float(bpm))
        timeline = Timeline.start(bpm, frame_rate_hz=Fraction(self._rate_hz, self._hop_samples))
        for _ in range(_MOST_BEGINNINGS):
            first_beat = self.tell("transport/reset")
            first = ear.first_from(first_beat - _BEAT_GRACE)
            if self._is_bar_line(first_beat, timeline):
                ahead_samples = (first.beat - first_beat) * 60 / bpm * self._rate_hz
                first_sample = first.sample - ahead_samples
                return DaemonMelodyStage(
                    self, ear, timeline, self._rate_hz, first_beat, first_sample
                )
        raise MusicgenRTError(f"the music did not begin on a bar line in {_MOST_BEGINNINGS} tries")

    def tell(self, name: str, *args: Any) -> float:
        """Send a command; the session's beat from which it is heard.

        Raises MusicgenRTError for a refusal, or none of both in time.
        """
        answer = self._daemon.client.ask(name, *args, seconds=_ANSWER_SECONDS)
        if answer is None:
            raise MusicgenRTError(f"{name} was not answered in {_ANSWER_SECONDS:g} s")
        if answer.address == "/fail":
            raise MusicgenRTError(f"{name}: {answer.args[1]}")
        return float(answer.args[1])

    def faults(self) -> Mapping[str, int]:
        """How often the last bars were played in place of new ones; blocks that did not come."""
        ear = self._ear
        fallbacks, lost_blocks = (ear.fallbacks, ear.lost_blocks) if ear is not None else (0, 0)
        return {"fallbacks": fallbacks, "lost_blocks": lost_blocks}

    def _begin(self) -> PhraseEar:
        self._daemon.until_playing()
        is_model = (one for one in self._daemon.events("ready") if "sampling_rate_hz" in one)
        ready = next(is_model)
        if not (ready["has_chroma"] or ready["has_melody"]):
            raise UnsupportedError(f"{self.source} cannot follow a melody: choose a model that can")
        self._rate_hz, self._hop_samples = ready["sampling_rate_hz"], ready["hop_samples"]
        if LEAD in ready["attributes"]:
            self.tell("attr/set", LEAD, "on")
        self._ear = PhraseEar(self._daemon.event("listening")["publish"], self._rate_hz)
        self._ear.start()
        return self._ear

    def _is_bar_line(self, beat: float, timeline: Timeline) -> bool:
        """Whether the session has a bar line at a beat that has just come.

        An engine that came too late to begin on it did so in the middle of a bar.
        """
        bpm, bar_beats = timeline.bpm_at(0), timeline.beats_per_bar_at(0)
        # The tempo that it has: what is asked is where the next bar line is, to the frame.
        bars = (self.tell("clock/tempo", bpm, 0.0, "bar") - beat) / bar_beats
        off_frames = timeline.frame_at(bar_beats * abs(bars - round(bars)))
        return round(bars) > 0 and off_frames <= _LINE_GRACE_FRAMES


class DaemonMelodyStage:
    """A phrase's music of the daemon, from `first_beat` and `first_sample` of its session on."""

    def __init__(
        self,
        venue: DaemonVenue,
        ear: PhraseEar,
        timeline: Timeline,
        rate_hz: int,
        first_beat: float,
        first_sample: float,
    ) -> None:
        self.timeline, self.rate_hz = timeline, rate_hz
        self._venue, self._ear = venue, ear
        self._first_beat, self._first_sample = first_beat, first_sample
        self._frame = 0

    def send(self, name: str, *args: Any) -> int:
        """A command, now; the frame from which the daemon says that it is heard."""
        beat = self._venue.tell(name, *args)
        return round(self.timeline.frame_at(beat - self._first_beat))

    def until(self, frame: int) -> None:
        """Wait until a frame is heard. Raises MusicgenRTError if the sound stays away."""
        self._frame = max(self._frame, frame)
        self._ear.until(self._first_sample + self._samples(frame) + _QUEUED_SECONDS * self.rate_hz)

    def heard(self) -> NDArray[np.float32]:
        """Mono samples [N] at the model's rate, each block where its header says."""
        end_sample = self._first_sample + self._samples(self._frame)
        samples, rate_hz = self._ear.between(self._first_sample, end_sample)
        if rate_hz == self.rate_hz:
            return samples
        resampled: NDArray[np.float32] = librosa.resample(
            samples, orig_sr=rate_hz, target_sr=self.rate_hz
        )
        return resampled

    def _samples(self, frame: int) -> float:
        return float(frame * self.rate_hz / self.timeline.frame_rate_hz)
