"""What no recording of a steady tone may have: invariant V of the fault plan.

Every sample finite and under the ceiling, no step above the click threshold, no hole longer than a
device period. What JACK itself dropped, on a machine without real-time priority, is not the
daemon's: those periods are left out of the stretches.
"""

from __future__ import annotations

import pytest

from musicgen_rt.evaluate.jack_recording import JackRecording
from tests.bridge.playout import twin

# Less than this part of it in one piece, and nothing can be said of the daemon.
_JUDGED_PART = 0.25


def assert_tone_is_whole(ear: JackRecording, first_frame: int, *, max_step: float) -> None:
    """Check what was heard from `first_frame` on of a tone whose own steps are below `max_step`.

    Skips the test where the machine is so busy that JACK itself missed most of it.
    """
    stretches = ear.stretches(first_frame)
    for _, samples in stretches:
        twin.assert_invariant_v(samples, max_step=max_step, max_hole=ear.period_frames)
    heard = sum(len(one.samples) for one in stretches)
    if heard < _JUDGED_PART * (ear.end_frame - first_frame):
        pytest.skip(f"JACK itself missed {ear.missed} periods: too busy a machine to judge by ear")
