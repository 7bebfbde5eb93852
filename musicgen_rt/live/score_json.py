"""The score as JSON, for snapshots and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.controls import checked_frame, checked_ramp, checked_value
from musicgen_rt.live.fixed_frames import FixedFrames
from musicgen_rt.live.memory import Memory
from musicgen_rt.live.placed_melody import PlacedMelody
from musicgen_rt.live.score import Change, Score, Track
from musicgen_rt.model.config import ModelConfig

_KINDS: dict[str, type[PlacedMelody] | type[Memory] | type[FixedFrames]] = {
    "melody": PlacedMelody,
    "memory": Memory,
    "fixed": FixedFrames,
}


def score_to_json(score: Score) -> dict[str, Any]:
    """Every change of every control, as a value for `json.dumps`; floats keep all their bits."""
    tracks = {
        key: {
            "before": _to_json(key, track.before),
            "changes": [[c.frame, _to_json(key, c.value), c.ramp_frames] for c in track.changes],
        }
        for key, track in score.tracks()
    }
    return {"forgotten_before": score.forgotten_before, "tracks": tracks}


def load_score(score: Score, value: Mapping[str, Any], config: ModelConfig) -> None:
    """Fill a new score with what `score_to_json` gave; `config` says which controls there are.

    Raises ParameterError or UnsupportedError for a value that `score_to_json` did not make.
    """
    try:
        tracks = {}
        for key, stored in value["tracks"].items():
            track = Track(_from_json(key, stored["before"], config))
            for frame, new, ramp_frames in stored["changes"]:
                track.set(
                    Change(
                        checked_frame("the frame", frame),
                        _from_json(key, new, config),
                        checked_ramp(ramp_frames),
                    )
                )
            tracks[key] = track
        score.load(tracks, int(value["forgotten_before"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ParameterError(
            f"not a score ({error}): expected the value that score_to_json makes"
        ) from error


def _to_json(key: str, value: Any) -> Any:
    return value.to_json() if key in _KINDS and value is not None else value


def _from_json(key: str, value: Any, config: ModelConfig) -> Any:
    kind = _KINDS.get(key)
    if kind is None:
        return checked_value(key, value, config)
    return None if value is None else kind.from_json(value)
