"""The PCM of a daemon is judged block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.evaluate.pcm_ear import PcmJudge

RATE_HZ = 32_000
BLOCK = 640
BPM = 120.0


def header(number: int, **changes: Any) -> dict[str, Any]:
    beat = number * BLOCK / RATE_HZ * BPM / 60
    usual = {"sequence": number, "rate_hz": RATE_HZ, "is_playing": True, "beat": beat, "bpm": BPM}
    return {**usual, **changes}


def block(number: int) -> NDArray[np.float32]:
    at = np.arange(number * BLOCK, (number + 1) * BLOCK)
    return (0.3 * np.sin(at * 0.05)).astype(np.float32)[:, None]


def test_music_in_order_is_without_fault() -> None:
    judge = PcmJudge()
    for number in range(1100):
        judge.take(header(number), block(number))
    heard = judge.heard()
    assert (heard.gaps, heard.beat_faults, heard.blocks) == (0, 0, 1100)
    assert heard.sound.complaints == []
    assert heard.sound.seconds == 1100 * BLOCK / RATE_HZ


def test_a_hole_a_beat_that_jumps_and_a_lost_block_are_told() -> None:
    judge = PcmJudge()
    for number in range(200):
        samples = np.zeros_like(block(0)) if number in (60, 61) else block(number)
        if number != 150:
            judge.take(header(number, beat=header(number)["beat"] + (number >= 100)), samples)
    heard = judge.heard()
    assert (heard.gaps, heard.beat_faults) == (1, 1)
    assert abs(heard.worst_beats - 1) < 1e-9
    assert heard.sound.holes == ((60 * BLOCK, 2 * BLOCK),)


def test_a_pause_that_was_asked_for_is_no_hole_and_a_new_tempo_no_fault() -> None:
    judge = PcmJudge()
    for number in range(50):
        judge.take(header(number), block(number))
    for number in range(50, 90):
        judge.take(header(number, is_playing=False, beat=5.0), np.zeros_like(block(0)))
    beat = header(50)["beat"]
    for number in range(90, 130):
        bpm = 150.0 if number >= 100 else BPM
        judge.take(header(number, beat=beat, bpm=bpm), block(number))
        beat += BLOCK / RATE_HZ * bpm / 60
    heard = judge.heard()
    assert heard.beat_faults == 0
    assert heard.sound.holes == ()
