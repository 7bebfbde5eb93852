"""Making a stretch of music anew between what comes before it and what comes after it.

Only a model of masked codes can: one that continues token by token never sees what follows.
"""

from __future__ import annotations

from musicgen_rt.errors import HistoryError, UnsupportedError
from musicgen_rt.live.block_stream import BlockStream
from musicgen_rt.live.controls import Edit, checked_frame
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.fixed_frames import FixedFrames
from musicgen_rt.live.token_store import UNKNOWN
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

    The stream goes back to `first_frame` if it stands behind it; steps then give the new frames,
    after them the ones that were there, and then the music goes on. Controls set at `first_frame`
    (another seed, another prompt) hold for what is new. Raises UnsupportedError for a model that
    cannot, HistoryError for frames that are forgotten or more than a window ahead.
    """
    fill_hole(engine, first_frame, around_hole(engine, first_frame, end_frame))


def around_hole(
    engine: Engine, first_frame: int, end_frame: int, kept_from: int | None = None
) -> FixedFrames:
    """What stays around a hole: the frames from its end on, as far as they are certain to come.

    Those from `kept_from` to the hole belong to it too. The stream stays where it is. Raises as
    `infill`.
    """
    require_infill(engine.model.config)
    first = checked_frame("first_frame", first_frame)
    end = checked_frame("end_frame", end_frame)
    stream = engine.session.stream
    assert isinstance(stream, BlockStream)  # require_infill has seen to it
    latest = engine.next_frame + stream.parts.plan.capacity_frames
    begin = end if kept_from is None else kept_from
    if not engine.earliest_return <= min(first, begin) <= first < end <= latest:
        raise HistoryError(
            f"an infill of frames {first} to {end}: expected a stretch within "
            f"{engine.earliest_return} to {latest}, what is remembered and a window ahead"
        )
    codes = stream.coming(begin, end)
    if begin < end:
        codes[:, first - begin : end - begin] = UNKNOWN
    return FixedFrames(begin, codes)


def fill_hole(engine: Engine, first_frame: int, fixed: FixedFrames) -> None:
    """From `first_frame`, or where what is `fixed` begins, make again all but that."""
    since = min(first_frame, fixed.first_frame)
    # An infill that was asked for further on was of music that is now fixed.
    engine.drop_coming("fixed", since)
    engine.apply([Edit("fixed", fixed)], since)
    # A window of its own, so that it sees as much as can be of what follows.
    engine.apply([Edit("roll", True)], first_frame)
