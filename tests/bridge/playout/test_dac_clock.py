"""The DAC's clock: jitter goes, nonsense is refused, holes are survived."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.playout.dac_clock import DacClock

RATE_HZ = 48000
BLOCK = 512
SECOND_NS = 1_000_000_000


def _true_ns(sample: float, ppm: float = 0.0) -> int:
    return 5 * SECOND_NS + round(sample / (RATE_HZ * (1 + ppm * 1e-6)) * 1e9)


def _feed(clock: DacClock, seconds: float, ppm: float, jitter_ms: float, first: int = 0) -> int:
    """Reports about every 90 ms; the driver wakes late by up to a few times the jitter."""
    chance = np.random.default_rng(4)
    sample = first
    while sample < first + seconds * RATE_HZ:
        late_ns = round(abs(chance.normal(0, jitter_ms)) * 1e6)
        now_ns = _true_ns(sample, ppm) - 20_000_000
        clock.report(sample, _true_ns(sample, ppm) + late_ns, now_ns)
        sample += BLOCK * int(chance.integers(7, 10))
    return sample


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_it_follows_a_jittering_driver_to_a_fraction_of_the_jitter(ppm: float) -> None:
    clock = DacClock(RATE_HZ, 0.02)
    sample = _feed(clock, 60, ppm, 1.5)
    assert clock.is_locked
    errors = [
        clock.time_ns(at, at, 0) - _true_ns(at, ppm) for at in range(sample, sample + 4800, 480)
    ]
    # The driver is late by 1.2 ms in the mean and up to 5.
    assert min(errors) > -0.5e6
    assert max(errors) < 1.0e6


def test_without_a_plausible_report_it_counts_from_the_latency() -> None:
    clock = DacClock(RATE_HZ, 0.02)
    now_ns = 7 * SECOND_NS
    clock.report(4800, 0, now_ns)
    clock.report(4800, now_ns + 60 * SECOND_NS, now_ns)
    assert clock.rejected == 2
    assert clock.time_ns(4800, 4800, now_ns) == now_ns + 20_000_000
    assert clock.time_ns(9600, 4800, now_ns) == now_ns + 120_000_000


def test_one_wild_report_changes_nothing() -> None:
    clock = DacClock(RATE_HZ, 0.02)
    sample = _feed(clock, 5, 0, 0)
    clock.report(sample, _true_ns(sample) + 50_000_000, _true_ns(sample))
    assert clock.rejected == 1
    assert clock.time_ns(sample, sample, 0) == pytest.approx(_true_ns(sample), abs=1000)


def test_when_all_reports_have_moved_it_moves_too() -> None:
    """As after the machine slept."""
    clock = DacClock(RATE_HZ, 0.02)
    sample = _feed(clock, 5, 0, 0)
    shift_ns = 400_000_000
    for _ in range(6):
        clock.report(sample, _true_ns(sample) + shift_ns, _true_ns(sample) + shift_ns)
        sample += BLOCK
    assert clock.time_ns(sample, sample, 0) == pytest.approx(_true_ns(sample) + shift_ns, abs=1000)


def test_a_restart_keeps_the_rate() -> None:
    clock = DacClock(RATE_HZ, 0.0)
    sample = _feed(clock, 60, 200, 0)
    clock.restart()
    clock.report(sample, _true_ns(sample, 200), _true_ns(sample, 200))
    later = sample + 10 * RATE_HZ
    assert clock.time_ns(later, later, 0) == pytest.approx(_true_ns(later, 200), abs=200_000)
