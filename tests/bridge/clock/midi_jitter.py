"""How steady the tempo is that is found in jittering MIDI clock: a table over many runs.

`python -m tests.bridge.clock.midi_jitter --runs 60` takes a minute; in virtual time.
"""

from __future__ import annotations

import argparse
from statistics import median, pstdev

from bridge.clock.midi_position import MidiPosition
from tests.bridge.clock.midi_sender import MidiSender


def one_run(bpm: float, jitter_ms: float, seed: int) -> tuple[bool, float, float]:
    """Locked within 2 s; deviation of the tempo and largest phase error over 1000 later ticks."""
    sender = MidiSender(MidiPosition(), bpm, jitter_ms, seed=seed)
    sender.start()
    sender.run(2.0)
    is_locked = sender.target.quality(round(sender.now_ns)).is_locked
    sender.run(10.0)
    tempi, errors_ms = [], []
    for _ in range(1000):
        sender.tick()
        anchor = sender.target.anchor(round(sender.now_ns))
        assert anchor is not None
        tempi.append(anchor.bpm)
        errors_ms.append(abs(sender.error_ms()))
    return is_locked, pstdev(tempi), max(errors_ms)


def main() -> None:
    """Measure three tempi under two jitters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    runs = parser.parse_args().runs
    print("| BPM | jitter | locked in 2 s | tempo, median run | worst run | worst phase |")
    print("|---|---|---|---|---|---|")
    for bpm in (60.0, 120.0, 200.0):
        for jitter_ms in (1.0, 5.0):
            found = [one_run(bpm, jitter_ms, seed) for seed in range(runs)]
            locked = sum(is_locked for is_locked, _, _ in found)
            deviations = [deviation for _, deviation, _ in found]
            phase_ms = max(phase for _, _, phase in found)
            what = f"| {bpm:g} | ±{jitter_ms:g} ms | {locked} of {runs}"
            tempo = f"{median(deviations):.4f} BPM | {max(deviations):.4f} BPM"
            print(f"{what} | {tempo} | {phase_ms:.2f} ms |", flush=True)


if __name__ == "__main__":
    main()
