"""How tests of the playout wait, and allow for a machine that others use too."""

from __future__ import annotations

import time

from musicgen_rt.evaluate.jack_recording import JackRecording

DEADLINE_SECONDS = 60.0


def frame_over(recording: JackRecording, level: float) -> int:
    """Wait for a sample above `level`; the server's number of the first one."""
    recording.wait(
        lambda: recording.first_over(level) is not None, DEADLINE_SECONDS, f"a level of {level}"
    )
    frame = recording.first_over(level)
    assert frame is not None
    return frame


def slowdown() -> float:
    """How many times longer than alone things take here now, since others use the processors."""
    began, began_cpu = time.monotonic(), time.thread_time()
    while time.thread_time() - began_cpu < 0.02:
        pass
    return max(1.0, (time.monotonic() - began) / 0.02)
