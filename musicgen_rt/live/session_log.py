"""A session as a log from which it can be made again, token by token.

The music is a function of the score, so the log is the score: rollbacks and controls that were
taken back leave no trace in it, as they leave none in the music.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import CheckpointError, HistoryError, MusicgenRTError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.controls import checked_codes
from musicgen_rt.live.model_identity import model_identity, require_same
from musicgen_rt.live.score_json import load_score, score_to_json
from musicgen_rt.live.session import Session
from musicgen_rt.model.musicgen import MusicGen

if TYPE_CHECKING:
    from musicgen_rt.live.engine import Engine

_FORMAT = "musicgen-rt session 1"


def session_log(engine: Engine) -> dict[str, Any]:
    """What `replay` takes. Raises HistoryError if changes were so many that some are forgotten."""
    forgotten = engine.session.stream.score.forgotten_before
    if forgotten:
        raise HistoryError(
            f"the log is not complete: changes before frame {forgotten} are forgotten, there were "
            "too many; take the log earlier, or a snapshot"
        )
    return {**session_facts(engine), "given": engine.session.given.tolist()}


def replay(kind: type[Engine], model: MusicGen, log: Mapping[str, Any]) -> Engine:
    """An engine at frame 0 with the logged session scheduled. Raises CheckpointError."""
    require_model(log, model, "the log")
    try:
        engine = kind(model, EngineOptions(**log["options"]))
        load_facts(engine.session, log, model)
        given = np.array(log["given"], dtype=np.int64).reshape(model.config.lm.num_codebooks, -1)
        if given.size:
            engine.session.give(checked_codes(given, model.config.lm))
    except (KeyError, TypeError, ValueError, MusicgenRTError) as error:
        raise CheckpointError(
            f"the log is damaged ({error}): expected what Engine.log gave"
        ) from error
    return engine


def session_facts(engine: Engine) -> dict[str, Any]:
    """The part of a session that logs and snapshots share, as a value for `json.dumps`."""
    stream = engine.session.stream
    return {
        "format": _FORMAT,
        "model": model_identity(engine.model),
        "options": asdict(engine.options),
        "frames": stream.diagonal,
        "score": score_to_json(stream.score),
        "timeline": None if stream.timeline is None else stream.timeline.to_json(),
    }


def require_model(facts: Mapping[str, Any], model: MusicGen, where: str) -> None:
    """Raise CheckpointError unless the facts are a session's and of this model."""
    if not isinstance(facts, Mapping) or facts.get("format") != _FORMAT:
        raise CheckpointError(f"{where}: not a session of this version, expected {_FORMAT!r}")
    require_same(facts.get("model"), model_identity(model), "model", where)


def load_facts(session: Session, facts: Mapping[str, Any], model: MusicGen) -> None:
    """Fill a new session's score and timeline.

    Raises KeyError, TypeError, ValueError or a MusicgenRTError for damaged facts.
    """
    load_score(session.stream.score, facts["score"], model.config)
    timeline = facts["timeline"]
    session.stream.timeline = None if timeline is None else Timeline.from_json(timeline)
