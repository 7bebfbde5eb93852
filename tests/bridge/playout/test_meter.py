"""Levels, measured by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.playout.meter import SILENCE_DB, Meter


def test_peak_and_rms_of_all_blocks_since_the_last_reading() -> None:
    meter = Meter()
    phase = 2 * np.pi * np.arange(4800) / 48
    meter.add((0.5 * np.sin(phase))[:, None].astype(np.float32), 0.5)
    meter.add(np.zeros((4800, 1), np.float32), 1.0)
    levels = meter.read()
    assert levels.peak_db == pytest.approx(-6.02, abs=0.01)
    assert levels.rms_db == pytest.approx(-6.02 - 3.01 - 3.01, abs=0.01)
    assert levels.limiter_db == pytest.approx(-6.02, abs=0.01)


def test_silence_has_a_number() -> None:
    meter = Meter()
    assert meter.read().peak_db == SILENCE_DB
    meter.add(np.zeros((10, 2), np.float32), 1.0)
    levels = meter.read()
    assert (levels.peak_db, levels.rms_db, levels.limiter_db) == (SILENCE_DB, SILENCE_DB, 0)
