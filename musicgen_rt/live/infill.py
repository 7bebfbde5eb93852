"""Making a stretch of music anew between what comes before it and what comes after it.

Only a model of masked codes can: one that continues token by token never sees what follows.
"""

from __future__ import annotations

from musicgen_rt.errors import HistoryError, UnsupportedError
from musicgen_rt.live.controls import Edit, checked_frame
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.fixed_frames import FixedFrames
from musicgen_rt.model.config import ModelConfig


def require_infill(config: ModelConfig) -> None:
    """Raise UnsupportedError for a model that cannot fill a hole."""
    if config.magnet is None:
        raise UnsupportedError(
            "this checkpoint continues music frame by frame and cannot make a stretch between two "
            "others: load a MAGNeT"
        )


def infill(engine: Engine, first_frame: int, end_frame: int) -> None:
    """Make the frames from `first_frame` to before `end_frame` anew; those after them stay.

    The stream goes back to `first_frame`; steps then give the new frames, after them the ones that
    were there, and then the music goes on. Controls set at `first_frame` (another seed, another
    prompt) hold for what is new. Raises UnsupportedError for a model that cannot, HistoryError for
    frames that are not complete or are forgotten.
    """
    require_infill(engine.model.config)
    first = checked_frame("first_frame", first_frame)
    end = checked_frame("end_frame", end_frame)
    complete = engine.session.stream.store.complete_frames
    if not engine.earliest_return <= first < end <= complete:
        raise HistoryError(
            f"an infill of frames {first} to {end}: expected a stretch within "
            f"{engine.earliest_return} to {complete}, what is complete and remembered"
        )
    fixed = FixedFrames(end, engine.codes(end, complete))
    # An infill that was asked for further on was of music that is now fixed.
    engine.drop_coming("fixed", first)
    # A window of its own, so that it sees as much as can be of what follows.
    engine.apply([Edit("fixed", fixed), Edit("roll", True)], first)
