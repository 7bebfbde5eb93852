"""The recipe of a render: every value that decides its tokens and its samples.

A recipe is plain data: it comes from a command line, goes into the sidecar beside the audio, and
makes the same music when it comes back from there. Importing this file loads no torch, so that a
slip on the command line is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from musicgen_rt.contract.timeline import BEATS_PER_BAR_RANGE, BPM_RANGE
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.score import PARAMETERS, WEIGHT, Parameter
from musicgen_rt.live.song import MAX_SECONDS, Song
from musicgen_rt.offline.given_frames import GivenFrames

if TYPE_CHECKING:
    from musicgen_rt.live.build import EngineOptions
    from musicgen_rt.live.melody import Melody

MAX_PROMPTS = 8
# Prompts up to this length share one text capacity, and so the same sums.
_TEXT_CAPACITY_STEP = 64

NUMBERS = {
    "seconds": Parameter(30.0, 0.001, MAX_SECONDS, "seconds of new audio"),
    "bpm": Parameter(120.0, *BPM_RANGE, "tempo, whose bars the window then rolls on"),
    "beats_per_bar": Parameter(4, *BEATS_PER_BAR_RANGE, "beats in a bar", True),
    "window_seconds": Parameter(
        30.0, 1.0, 600.0, "seconds that the model sees at most (default: as it was made for)"
    ),
    "context_seconds": Parameter(
        12.0, 0.4, 600.0, "seconds it keeps of that when the window rolls (default: 0.4 of it)"
    ),
    "text_capacity": Parameter(64, 1, 512, "room for a prompt, in tokens", True),
    "threads": Parameter(1, 1, 1024, "processor threads", True),
    "chunk_frames": Parameter(10, 1, 500, "frames made at a time; tokens are the same", True),
    "loudness_lufs": Parameter(-16.0, -70.0, 0.0, "LUFS to bring the audio to"),
    "ceiling_dbtp": Parameter(-1.0, -40.0, 0.0, "dBTP that --loudness must not pass"),
}
_SWITCHES = ("includes_given", "compile", "asks_tempo")
# What a song says itself, section by section.
_SAID_BY_SONG = ("prompts", "negative", "melody", "bpm", "beats_per_bar", "attributes")


@dataclass(frozen=True)
class Recipe:
    """What to render, and with what. `NUMBERS` and `score.PARAMETERS` have the ranges.

    `parameters` holds those of the engine that differ from the checkpoint's defaults, among them
    the seed. `given` are frames to continue; `includes_given` puts their audio before the `seconds`
    of new audio. The melody and beat 0 begin with the new audio. A song takes the place of prompts,
    melody, tempo and attributes, and its length that of `seconds`. `rescorer` is a MusicGen that
    judges what a MAGNeT makes, under the main prompt. With `asks_tempo` prompts name the tempo, if
    the model is not told the beats. None means: not used, or for
    `threads`, `text_capacity` and the window that the renderer chooses.

    Raises ParameterError (PromptError for texts) naming the value and its range.
    """

    model: str
    seconds: float = NUMBERS["seconds"].default
    prompts: tuple[Prompt, ...] = ()
    negative: str | None = None
    melody: Melody | None = None
    given: GivenFrames | None = None
    includes_given: bool = True
    parameters: Mapping[str, float] = field(default_factory=dict)
    bpm: float | None = None
    beats_per_bar: int | None = None
    attributes: Mapping[str, bool] = field(default_factory=dict)
    window_seconds: float | None = None
    context_seconds: float | None = None
    text_capacity: int | None = None
    device: str = "auto"
    weights: str = "auto"
    compile: bool = True
    threads: int | None = None
    chunk_frames: int = int(NUMBERS["chunk_frames"].default)
    loudness_lufs: float | None = None
    ceiling_dbtp: float = NUMBERS["ceiling_dbtp"].default
    song: Song | None = None
    rescorer: str | None = None
    asks_tempo: bool = False

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_kinds()
        self._check_combinations()
        self._check_prompts()

    def engine_options(self) -> EngineOptions:
        """The options of the engine that plays this recipe."""
        from musicgen_rt.live.build import EngineOptions

        return EngineOptions(
            window_seconds=self.window_seconds,
            context_seconds=self.context_seconds,
            text_capacity=self.text_capacity,
            compile_step=self.compile,
        )

    @property
    def main_prompt(self) -> str | None:
        """The text that weighs most."""
        main = max(self.prompts, key=lambda prompt: prompt.weight, default=None)
        return None if main is None else main.text

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that is encoded."""
        negative = () if self.negative is None else (self.negative,)
        song = () if self.song is None else self.song.texts
        return tuple(prompt.text for prompt in self.prompts) + negative + song

    def to_json(self) -> dict[str, Any]:
        """The recipe as a value for `json.dumps`."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "prompts": [{"text": one.text, "weight": one.weight} for one in self.prompts],
            "melody": None if self.melody is None else self.melody.to_json(),
            "given": None if self.given is None else self.given.to_json(),
            "parameters": dict(self.parameters),
            "attributes": dict(self.attributes),
            "song": None if self.song is None else self.song.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Recipe:
        """The inverse of `to_json`. Raises ParameterError for anything else."""
        from musicgen_rt.live.melody import Melody

        try:
            values = dict(value)
            song = values.pop("song", None)
            prompts = tuple(Prompt(**one) for one in values.pop("prompts"))
            melody, given = values.pop("melody"), values.pop("given")
            return cls(
                **values,
                prompts=prompts,
                melody=None if melody is None else Melody.from_json(melody),
                given=None if given is None else GivenFrames.from_json(given),
                song=None if song is None else Song.from_json(song),
            )
        except ParameterError:
            raise
        # JSON of any shape stumbles in any of these ways.
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"not a recipe ({error})") from error

    def _check_numbers(self) -> None:
        for name, parameter in NUMBERS.items():
            value = getattr(self, name)
            if value is not None:
                parameter.check(name, value)
        window_seconds, context_seconds = self.window_seconds, self.context_seconds
        if window_seconds is not None and (context_seconds or 0.0) >= window_seconds:
            raise ParameterError(
                f"context_seconds is {context_seconds:g}: expected less than the window's "
                f"{window_seconds:g} s"
            )
        for name, value in self.parameters.items():
            if name not in PARAMETERS:
                raise ParameterError(f"parameter {name!r}: expected one of {', '.join(PARAMETERS)}")
            PARAMETERS[name].check(name, value)
        for prompt in self.prompts:
            WEIGHT.check("the weight of a prompt", prompt.weight)

    def _check_kinds(self) -> None:
        """What a sidecar that was edited by hand may have got wrong."""
        for name in ("model", "device", "weights", "rescorer"):
            is_left_out = name == "rescorer" and self.rescorer is None
            if not is_left_out and not isinstance(getattr(self, name), str):
                raise ParameterError(f"{name} is {getattr(self, name)!r}: expected text")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ParameterError(f"{name} is {getattr(self, name)!r}: expected true or false")
        for name, is_on in self.attributes.items():
            if not isinstance(is_on, bool):
                raise ParameterError(f"attribute {name} is {is_on!r}: expected on or off")

    def _check_combinations(self) -> None:
        if self.beats_per_bar is not None and self.bpm is None:
            raise ParameterError("beats_per_bar is given without bpm: expected both, or bpm alone")
        if self.rescorer is not None and self.song is not None:
            raise ParameterError("a rescorer judges under one prompt: leave out it, or the song")
        if len(self.prompts) > MAX_PROMPTS:
            raise ParameterError(f"{len(self.prompts)} prompts: expected at most {MAX_PROMPTS}")
        if self.song is not None:
            for name in _SAID_BY_SONG:
                if getattr(self, name):
                    raise ParameterError(
                        f"{name} is given beside a song, whose sections say it: leave one out"
                    )

    def _check_prompts(self) -> None:
        if self.texts:
            from musicgen_rt.model.text import check_prompt

            for text in self.texts:
                check_prompt(text)


def text_capacity_for(longest_tokens: int) -> int:
    """The room to give prompts of up to that many tokens, in steps that keep rounding the same."""
    steps = max(1, -(-longest_tokens // _TEXT_CAPACITY_STEP))
    return min(steps * _TEXT_CAPACITY_STEP, int(NUMBERS["text_capacity"].high))
