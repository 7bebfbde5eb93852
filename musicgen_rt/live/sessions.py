"""New sessions for an engine to begin: from nothing, after some audio, after a take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from musicgen_rt.audio_input import read_audio
from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.live.controls import checked_audio, checked_value
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.score import Score, Track
from musicgen_rt.live.session import Session
from musicgen_rt.model.codec_frames import ENCODER_LOOKAHEAD_FRAMES
from musicgen_rt.model.config import ModelConfig

_LONGEST_FILE_SECONDS = 600.0
# The decoder begins so long before the music goes on: its memory of what was before has faded.
WARM_UP_SECONDS = 2.0


def fresh(engine: Engine, controls: Score, keys: tuple[str, ...] = ("",)) -> Session:
    """A new beginning under those of the controls whose keys begin so."""
    session = Session(engine.model, engine.options, engine.parts)
    put_under(session, engine, controls, keys)
    return session


def put_under(
    session: Session, engine: Engine, controls: Score, keys: tuple[str, ...] = ("",)
) -> None:
    """Give a session that has not begun those of the controls whose keys begin so."""
    session.stream.score.load(fitting(controls, engine.model.config, keys), 0)


def after_audio(engine: Engine, samples: np.ndarray, rate_hz: int) -> tuple[Session, int]:
    """One that continues the end of some audio [C, N], and the stream's frame where it does.

    It is under no controls yet: see `put_under`. The last frames of the audio are dropped, see
    `FrameDecoder.encode`. Raises ParameterError for audio that is too short or not the model's.
    """
    model = engine.model
    audio = checked_audio(samples, rate_hz, model.config)
    context_frames = round(engine.options.context_seconds * model.config.frame_rate_hz)
    longest = (context_frames + ENCODER_LOOKAHEAD_FRAMES) * model.config.hop_samples
    last = torch.from_numpy(audio[:, -longest:].copy()).to(model.device)
    codes = model.codec.encode(last).cpu().numpy()
    session = Session(engine.model, engine.options, engine.parts)
    session.give(codes, warm_up_from(engine, codes.shape[1]))
    return session, codes.shape[1]


def after_file(engine: Engine, path: Path) -> tuple[Session, int]:
    """As `after_audio`, of a file. Raises AudioFileError too."""
    config = engine.model.config
    rate_hz = config.sampling_rate_hz
    samples = read_audio(path, rate_hz, config.channels, max_seconds=_LONGEST_FILE_SECONDS)
    return after_audio(engine, samples, rate_hz)


def warm_up_from(engine: Engine, frames: int) -> int:
    """The frame from which given frames are decoded, so that the ones after them sound right."""
    return max(0, frames - round(WARM_UP_SECONDS * engine.model.config.frame_rate_hz))


def fitting(controls: Score, config: ModelConfig, keys: tuple[str, ...]) -> dict[str, Track]:
    """Those controls whose keys begin so, and that a model has."""
    return {
        key: track
        for key, track in controls.tracks()
        if key.startswith(keys) and _fits(key, track, config)
    }


def _fits(key: str, track: Track, config: ModelConfig) -> bool:
    if key == "melody":  # laid down anew, if the model can follow one
        return False
    try:
        for value in (track.before, *(change.value for change in track.changes)):
            checked_value(key, value, config)
    except MusicgenRTError:
        return False
    return True
