"""A take: the last bars of the music with all that is needed to go on from them.

Banks are takes, and so is what a new process goes on from after a crash. A take holds the codes
before a bar line, the controls and the timeline of those frames, and what the worker says about
itself. A stream that is begun from a take has the take's codes as given frames: it continues them,
and is the same each time it is begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import CheckpointError, HistoryError, MusicgenRTError
from musicgen_rt.live.controls import checked_codes
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.model_identity import require_same
from musicgen_rt.live.score_json import load_score, score_to_json
from musicgen_rt.live.session import Session
from musicgen_rt.live.sessions import warm_up_from
from musicgen_rt.model.safetensors_file import read_header

_FORMAT = "musicgen-rt take 1"
_METADATA_KEY = "musicgen-rt"
_CODES = "codes"
_MAX_FACTS_BYTES = 8 << 20


@dataclass(frozen=True, eq=False)
class Take:
    """Frames [K, T] up to a bar line, and what they were made under, as values for `json.dumps`.

    `score` and `timeline` count from the first of these frames. `extra` is the worker's own.
    """

    model: Mapping[str, Any]
    codes: np.ndarray
    score: Mapping[str, Any]
    timeline: Mapping[str, Any]
    extra: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """How many frames it holds; the next one is where the music goes on."""
        return self.codes.shape[1]


def capture(
    engine: Engine, frame: int, controls_at: int, model: Mapping[str, Any], extra: Mapping[str, Any]
) -> Take:
    """What goes on at the stream's `frame`, a bar line up to which all frames are complete.

    It holds whole bars, as many as a window's context does, and from `frame` on the controls that
    stand at `controls_at`. `model` is its `model_identity`. Raises HistoryError.
    """
    stream, timeline = engine.session.stream, engine.timeline
    if timeline is None or not 0 <= frame <= stream.store.complete_frames:
        raise HistoryError(
            f"a take at frame {frame}: expected 0 to {stream.store.complete_frames}, what is "
            "complete, and a tempo"
        )
    earliest = max(stream.store.first_frame, stream.score.forgotten_before)
    context = min(stream.parts.plan.context_frames, frame - earliest)
    first = timeline.whole_bars_before(frame, context)
    if first == frame:  # not even a bar: what there is
        first = frame - context
    return Take(
        model=model,
        codes=engine.codes(first, frame),
        score=score_to_json(stream.score.excerpt(first, frame, controls_at)),
        timeline=timeline.excerpt(first).to_json(),
        extra=extra,
    )


def begin(engine: Engine, take: Take, model: Mapping[str, Any]) -> Session:
    """A session of the engine's that goes on from a take, at stream frame `take.frames`.

    `model` is the engine's `model_identity`. Raises CheckpointError if the take is damaged or of
    another model.
    """
    require_same(take.model, model, "model", "the take")
    session = Session(engine.model, engine.options, engine.parts)
    try:
        if take.frames:
            codes = checked_codes(take.codes, engine.model.config.lm)
            session.give(codes, warm_up_from(engine, take.frames))
        load_score(session.stream.score, take.score, engine.model.config)
        session.stream.timeline = Timeline.from_json(take.timeline)
    except MusicgenRTError as error:
        raise CheckpointError(f"the take is damaged ({error}): expected what was saved") from error
    return session


def memory(engine: Engine, take: Take, model: Mapping[str, Any]) -> Memory:
    """A take's frames to remember in front of the engine's windows, wherever its stream stands.

    Raises CheckpointError as `begin`, and for a take without music.
    """
    session = begin(engine, take, model)
    if not take.frames:
        raise CheckpointError("the bank holds no music: save one while something plays")
    kept = session.remember(0, take.frames, take.frames)
    # Before every frame of the stream: what is remembered counts only before a window's own.
    return replace(kept, first_frame=-take.frames)


def save(take: Take, path: Path) -> None:
    """Write a take, whole or not at all. Raises CheckpointError."""
    facts = {
        "format": _FORMAT,
        "model": take.model,
        "score": take.score,
        "timeline": take.timeline,
        "extra": take.extra,
    }
    codes = torch.from_numpy(np.ascontiguousarray(take.codes.astype(np.int32)))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({_CODES: codes}, temporary, metadata={_METADATA_KEY: json.dumps(facts)})
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Take:
    """Read what `save` wrote. Raises CheckpointError naming what is wrong."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such bank; save one first")
    read_header(path)
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {})[_METADATA_KEY]
            codes = file.get_tensor(_CODES)
        if len(text) > _MAX_FACTS_BYTES:
            raise ValueError(f"{len(text)} bytes of facts")
        facts = json.loads(text)
        if facts["format"] != _FORMAT or codes.ndim != 2 or codes.dtype != np.int32:
            raise ValueError("another format")
        return Take(facts["model"], codes, facts["score"], facts["timeline"], facts["extra"])
    except (KeyError, TypeError, ValueError, OSError, SafetensorError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a take of this version ({error!r}); expected what bank/save wrote"
        ) from error
