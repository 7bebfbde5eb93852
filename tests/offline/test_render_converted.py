"""`render` plays converted checkpoints like any others: sounds at 16 kHz, and masked codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.cli import main
from tests.support.audiocraft import convert_recorded


def with_few_passes(path: Path) -> None:
    """Masked codes take 90 passes a block as published: fewer do for a test."""
    config = json.loads(path.read_text())
    if "magnet" in config:
        config["magnet"]["decoding_steps"] = [3, 2, 2, 2]
        path.write_text(json.dumps(config))


@pytest.mark.parametrize(("name", "rate_hz"), [("audiogen", 16_000), ("magnet", 32_000)])
def test_a_render_past_the_window_is_made_again_from_its_sidecar(
    tmp_path: Path, name: str, rate_hz: int
) -> None:
    folder = convert_recorded(tmp_path, name)
    with_few_passes(folder / "config.json")
    out = tmp_path / "out.wav"
    plain = ["--prompt", "rain on a tin roof", "--seconds", "2.5", "--weights", "fp32", "--quiet"]
    assert main(["render", "--model", str(folder), *plain, "--out", str(out)]) == 0
    samples, found_hz = soundfile.read(out)
    assert found_hz == rate_hz and len(samples) == 2.5 * rate_hz
    assert np.isfinite(samples).all() and samples.std() > 0
    assert json.loads(out.with_suffix(".json").read_text())["recipe"]["parameters"] is not None
    again = tmp_path / "again.wav"
    sidecar = str(out.with_suffix(".json"))
    assert main(["render", "--from", sidecar, "--quiet", "--out", str(again)]) == 0
    assert np.array_equal(soundfile.read(again)[0], samples)
