"""Marks on bar lines in a twin stage; run as a program it measures many, and prints a table.

`python -m tests.bridge.clock.twin_marks --events 100` takes some minutes.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_rt.evaluate import sync_marks
from tests.bridge.clock.twin_stage import Card, TwinStage

COMMANDS: dict[str, tuple[Any, ...]] = {
    "mute": ("/mgrt/audio/mute", 1, "bar"),
    "unmute": ("/mgrt/audio/mute", 0, "bar"),
    "prompt": ("/mgrt/prompt/set", 0, "other", 1.0, "bar"),
    "stop": ("/mgrt/transport/stop", "bar"),
    "play": ("/mgrt/transport/play", "bar"),
}
# In turn: what ends comes before what begins again.
KINDS = tuple(COMMANDS)
MAX_ERROR_MS = 3.0
_PPM = (0.0, 150.0, -150.0)


def mark_error_ms(stage: TwinStage, kind: str, bars: float) -> float:
    """Wait for so many bars, send a command for the next bar line: how late it is heard there."""
    bar_seconds = 240 / stage.host.anchor_now.bpm
    stage.run(bar_seconds * bars)
    first = stage.first_heard_from(stage.clock.now_ns)
    stage.send(*COMMANDS[kind])
    stage.run(2 * bar_seconds + 0.5)
    if kind == "prompt":  # the click before it is one of the old ones
        first -= round(1.1 * bar_seconds / 4 * stage.card.rate_hz)
    at = _mark(stage, kind, first)
    assert at is not None, f"no {kind} is heard"
    (error_ms,) = stage.errors_ms([first + at], 4)
    return error_ms


def _mark(stage: TwinStage, kind: str, first: int) -> float | None:
    """Where the mark of a command lies in what was heard from sample `first` on."""
    samples, rate_hz = stage.heard_from(first), stage.card.rate_hz
    if kind in ("mute", "unmute"):
        return sync_marks.mute(samples, rate_hz, is_on=kind == "mute")
    if kind == "prompt":
        clicks = sync_marks.clicks(samples, rate_hz)
        pitches = [sync_marks.click_pitch(samples, at, rate_hz) for at in clicks]
        changes = [at for n, at in enumerate(clicks) if n and pitches[n] != pitches[n - 1]]
        return changes[0] if changes else None
    if kind == "stop":
        return sync_marks.last_sound(samples, rate_hz)
    return sync_marks.first_sound(samples, rate_hz)


def main() -> None:
    """Measure every tempo on several cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bpm", type=float, nargs="+", default=[60.0, 93.7, 120.0, 200.0])
    parser.add_argument("--events", type=int, default=100, help="marks in all for each tempo")
    args = parser.parse_args()
    cards = [(rate_hz, frames) for rate_hz in (44100, 48000) for frames in (64, 256, 1024)]
    dice = random.Random(3)
    print("| BPM | marks | median | 95 % | worst |\n|---|---|---|---|---|")
    for bpm in args.bpm:
        errors_ms = []
        for number, card in enumerate(cards):
            with tempfile.TemporaryDirectory() as folder:
                stage = TwinStage(Path(folder), Card(*card, _PPM[number % len(_PPM)]), bpm)
                stage.run(5)
                for event in range(-(-args.events // len(cards) // len(KINDS)) * len(KINDS)):
                    kind = KINDS[event % len(KINDS)]
                    errors_ms.append(mark_error_ms(stage, kind, dice.random()))
                    if abs(errors_ms[-1]) > MAX_ERROR_MS:
                        print(f"{kind} on {stage.card} is {errors_ms[-1]:.1f} ms off")
        sizes = np.abs(errors_ms)
        figures = (np.median(errors_ms), np.percentile(sizes, 95), sizes.max())
        told = " | ".join(f"{one:.2f} ms" for one in figures)
        print(f"| {bpm:g} | {len(errors_ms)} | {told} |", flush=True)


if __name__ == "__main__":
    main()
