"""Whether a library of clips can teach the conditioners that a run is to train.

A conditioner that nobody taught would still be there: the engine would tell it the beats, and leave
out all that it does for models which are not told them.
"""

from __future__ import annotations

import numpy as np

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.config import FrameConditioningConfig
from musicgen_rt.train.lm_attributes import attribute_states
from musicgen_rt.train.lm_records import NO_TEMPO, PITCH_UNKNOWN, ROLE_UNKNOWN, ClipLibrary

_CLOCK, _CHROMA = "the clock", "the melody"
_REMEDIES = {
    _CLOCK: "give beats and downbeats, encode with tracks_beats = true, or set clock = false",
    _CHROMA: "give lead_notes, encode with tracks_melody = true, or set chroma = false",
}


def require_lessons(
    library: ClipLibrary,
    wanted: FrameConditioningConfig | None,
    own: FrameConditioningConfig | None,
) -> None:
    """Raises ParameterError for a conditioner that is new and that no clip tells anything.

    `wanted` are those that the run trains, `own` those that its start has learned already.
    """
    untaught = _names(wanted) - _names(own)
    attributes = [name for name in untaught if name not in _REMEDIES]
    for index, clip in enumerate(library.clips):
        if not untaught:
            return
        _, truth = library.window(index, 0, clip.frames)
        if (truth.bpm > NO_TEMPO).any():
            untaught.discard(_CLOCK)
        if (truth.pitch_class != PITCH_UNKNOWN).any():
            untaught.discard(_CHROMA)
        states = attribute_states(truth, clip.facts, attributes)
        known = np.flatnonzero((states != ROLE_UNKNOWN).any(axis=1))
        untaught -= {attributes[row] for row in known}
    if untaught:
        name = min(untaught, key=lambda one: (one not in _REMEDIES, one))
        remedy = _REMEDIES.get(name, f"say it in JSON files, or leave {name} out of attributes")
        raise ParameterError(
            f"[conditions] has {name} and no clip of {library.folder} tells of it: {remedy}"
        )


def _names(conditioning: FrameConditioningConfig | None) -> set[str]:
    if conditioning is None:
        return set()
    clock = {_CLOCK} if conditioning.clock is not None else set()
    chroma = {_CHROMA} if conditioning.chroma else set()
    return clock | chroma | set(conditioning.attributes)
