"""What a section's tune makes of the melody, and a section without one of the tune before it."""

from __future__ import annotations

from dataclasses import replace

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.melody_keeper import Turn
from musicgen_rt.live.melody_state import MelodyState, Pattern, PatternNote
from musicgen_rt.live.song import Tune


def tune_turn(tune: Tune | None, frame: int, timeline: Timeline) -> Turn:
    """What a section that begins at the stream's `frame` makes of the melody."""
    # Rounding may have put the section a frame before its own bar line.
    start_beat = timeline.beat_at(timeline.bar_line_at(timeline.bar_at(frame + 1)))

    def turn(state: MelodyState) -> MelodyState:
        if tune is None:
            return state.with_mode("off", frame, timeline)
        notes = tuple(
            PatternNote(pitch, 100, start, min(start + length, tune.loop_beats))
            for start, length, pitch in tune.notes
        )
        pattern = Pattern(start_beat, float(tune.loop_beats), notes)
        return replace(state, mode="file", file=pattern, file_name=None, sounded=())

    return turn
