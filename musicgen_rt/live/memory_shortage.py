"""Out of memory: let go of what can be done without, then make do with a smaller window."""

from __future__ import annotations

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.stage import Stage

_SHORTEST_WINDOW_SECONDS = 4.0


def release(stage: Stage) -> str:
    """Drop windows that are read ahead or kept to go back to; what was done, for the report."""
    engine = stage.engine
    # What the failed call left is unknown: the cache is found, or made, again.
    engine.session.stream.caches.forget_from(engine.next_frame)
    engine.release_memory()
    return "let go of windows that were kept to go back to"


def shrink(stage: Stage) -> str | None:
    """Go on in half the window; what was done, or None if it is as small as it can be.

    The music goes on where it is, from its last bars.
    """
    old = stage.engine.options
    window_seconds = old.window_seconds / 2
    if window_seconds < _SHORTEST_WINDOW_SECONDS:
        return None
    options = EngineOptions(
        window_seconds=window_seconds,
        context_seconds=min(old.context_seconds, window_seconds / 2),
        history_seconds=old.history_seconds,
        text_capacity=old.text_capacity,
        compile_step=old.compile_step,
        prefill_chunk_frames=old.prefill_chunk_frames,
    )
    player, timeline = stage.player, stage.engine.timeline
    if timeline is None or player.frozen is not None:
        return None
    # The sound before it must be complete.
    heard_to = max(0, stage.engine.next_frame - player.settle_frames)
    bar = timeline.last_bar_start_at_or_before(heard_to)
    if bar < player.splice.stream_frame:
        return None
    kept = stage.take(bar)
    frame = player.session_frame_of(bar)
    model = stage.engine.model
    stage.engine.parts.pool.keep_only(None)
    try:
        stage.use(Engine(model, options))
        session, stream_frame, melody = stage.session_of(kept)
    except MusicgenRTError:
        return None
    stage.begin(session, stream_frame, frame, melody)
    return f"the window is {window_seconds:g} s now"
