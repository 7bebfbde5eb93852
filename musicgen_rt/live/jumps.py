"""Jumps: undo, retry, infill, loops, other sessions, and beyond a hole. All are splices.

Frames are session frames, on a bar line as a rule; what is heard before them is settled. The stream
has been made some frames beyond them, so that the sound before the jump is complete. Each function
raises before it changes anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from musicgen_rt.errors import HistoryError, ParameterError
from musicgen_rt.live.controls import parameter_edits
from musicgen_rt.live.frozen_loop import LoopPlace, copied_loop
from musicgen_rt.live.infill import around_hole, fill_hole
from musicgen_rt.live.player import Player
from musicgen_rt.live.session import Session

# Beyond so many steps a window is read anew rather than made again.
_MOST_REMADE_STEPS = 64
_EVER = 1 << 40


def begin(player: Player, session: Session, stream_frame: int, frame: int) -> None:
    """From `frame` on play what another session of the engine's makes from a frame on."""
    player.engine.begin(session)
    player.splice_at(frame, stream_frame)


def undo(player: Player, bars: int, frame: int) -> None:
    """From `frame` on play what came `bars` bars earlier, with the controls of then.

    Raises HistoryError if that is forgotten.
    """
    target = bars_back(player, bars, frame)
    is_far = _is_far(player, target)
    player.engine.truncate_controls(target)
    _go_on(player, target, frame, is_far)


def restart(player: Player, stream_frame: int, frame: int, seed: int) -> None:
    """From `frame` on play something else after a frame of the stream, under today's controls.

    Raises HistoryError if that is forgotten.
    """
    source, is_far = player.stream_frame_of(frame), _is_far(player, stream_frame)
    player.engine.move_controls(source, stream_frame)
    player.engine.apply(parameter_edits("seed", seed, 0), stream_frame)
    _go_on(player, stream_frame, frame, is_far)


def infill(
    player: Player,
    bars: range,
    of_bars: int,
    frame: int,
    seed: int,
    before_moving: Callable[[int], None],
) -> int:
    """From `frame` on play the last `of_bars` bars again, with `bars` of them made anew.

    With 0 they are bars of what is to come. Bars count from 0. What is new is made under the
    controls that stand at `frame`; `before_moving` is told that frame of the stream before they are
    moved. Returns the frame from which the new ones are heard. Raises UnsupportedError, and
    HistoryError for what is forgotten or not within a window's reach.
    """
    engine, timeline = player.engine, player.engine.timeline
    assert timeline is not None
    here = player.stream_frame_of(frame)
    target = bars_back(player, of_bars, frame) if of_bars else here
    bar = timeline.bar_at(target + 1)  # rounding may have put it a frame before its line
    if timeline.bar_start_frame(bar) < target - 1:
        bar += 1
    first = max(target, timeline.bar_start_frame(bar + bars.start))
    end = timeline.bar_start_frame(bar + bars.stop)
    stays = _is_on_the_grid(player, target, frame)
    fixed = around_hole(engine, first, end, None if stays else target)
    if first < here:
        before_moving(here)
        engine.move_controls(here, first)
    fill_hole(engine, first, fixed)
    engine.apply(parameter_edits("seed", seed, 0), first)
    replay(player, target, frame)
    return frame + first - target


def freeze(player: Player, bars: int, frame: int) -> None:
    """From `frame` on repeat the last bars before it.

    Raises ParameterError during another loop, HistoryError for bars that are not there any more.
    """
    if player.frozen is not None:
        raise ParameterError("a loop is playing already: release it first")
    place = LoopPlace(player.timeline, frame, bars, player.hop_samples)
    fade_samples = player.writer.fade_samples
    player.loop(copied_loop(player.buffer, player.timeline, place, fade_samples), frame)


def release(player: Player, frame: int) -> None:
    """From `frame` on play what follows the loop's last bar. Raises ParameterError without one."""
    if player.frozen is None:
        raise ParameterError("no loop is playing: expected a freeze before its release")
    replay(player, player.splice.stream_frame, frame)


def skip(player: Player) -> int:
    """Go on beyond a hole, at the next bar line that can be reached; returns its frame.

    The music goes on from its own last bar line, of which most is made already.
    """
    if player.frozen is not None:
        sample = player.writer.earliest_sample()
        player.writer.redirect(sample, sample)
        return math.ceil(sample / player.hop_samples)
    frame = player.free_bar()
    engine, timeline = player.engine, player.engine.timeline
    assert timeline is not None
    audio = engine.session.audio
    last_bar = timeline.last_bar_start_at_or_before(audio.fed_frames)
    earliest = max(engine.earliest_return, audio.earliest_frame(engine.session.stream.store))
    replay(player, max(last_bar, earliest), frame)
    return frame


def replay(player: Player, stream_frame: int, frame: int) -> None:
    """From `frame` on play what follows a frame of the stream again.

    What is made of it stays made, if its beats fall on the session's.
    """
    engine = player.engine
    stays = _is_on_the_grid(player, stream_frame, frame)
    if stays and stream_frame <= engine.session.audio.fed_frames:
        engine.replay_audio(stream_frame)
    elif stream_frame < engine.next_frame:
        engine.rollback(stream_frame)
    player.splice_at(frame, stream_frame, joined_at=max(stream_frame, engine.next_frame))


def bars_back(player: Player, bars: int, frame: int) -> int:
    """The stream's frame `bars` bars before what is heard at `frame`. Raises HistoryError."""
    here, timeline = player.stream_frame_of(frame), player.engine.timeline
    assert timeline is not None
    target = timeline.whole_bars_before(here, _EVER, bars)
    earliest = player.engine.earliest_return
    if target < earliest:
        most = bars - 1  # a stream that has just begun may not even go back to where it is
        while most > 0 and timeline.whole_bars_before(here, _EVER, most) < earliest:
            most -= 1
        raise HistoryError(f"{bars} bars back is too far: {most} bars are remembered here")
    return target


def _is_far(player: Player, target: int) -> bool:
    """Whether to go on from there by reading a window anew is quicker than to make it again."""
    return player.engine.steps_to_return(target) > _MOST_REMADE_STEPS


def _go_on(player: Player, target: int, frame: int, is_far: bool) -> None:
    if is_far:
        player.engine.roll_window(at_frame=target)
    player.splice_at(frame, target)


def _is_on_the_grid(player: Player, stream_frame: int, frame: int) -> bool:
    """Whether what is made of the stream from there on has its beats where they would fall."""
    mine, theirs, on = player.engine.timeline, player.timeline, frame - stream_frame
    if mine is None:
        return False
    last = max(stream_frame, player.engine.next_frame - 1)
    for at in (stream_frame, last):
        one, two = mine.clock_at(at), theirs.clock_at(at + on)
        apart = abs((one.bar_phase - two.bar_phase + 0.5) % 1 - 0.5)
        frames_apart = apart * one.beats_per_bar * 60 / one.bpm * player.pace.frame_rate_hz
        if (one.bpm, one.beats_per_bar) != (two.bpm, two.beats_per_bar) or frames_apart > 1:
            return False
    return not any(
        first < segment.frame <= end
        for timeline, first, end in (
            (mine, stream_frame, last),
            (theirs, stream_frame + on, last + on),
        )
        for segment in timeline.segments
    )
