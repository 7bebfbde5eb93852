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


@pytest.mark.parametrize(
    ("name", "rate_hz"), [("audiogen", 16_000), ("magnet", 32_000), ("audio_magnet", 16_000)]
)
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


def test_a_rescorer_judges_what_a_magnet_makes_and_stands_in_the_sidecar(tmp_path: Path) -> None:
    folder, judge = convert_recorded(tmp_path, "magnet"), convert_recorded(tmp_path, "text")
    plain = ["render", "--model", str(folder), "--prompt", "rain", "--seconds", "0.8"]
    plain += ["--weights", "fp32", "--quiet"]
    out, judged, again = (tmp_path / f"{name}.wav" for name in ("out", "judged", "again"))
    assert main([*plain, "--out", str(out)]) == 0
    assert main([*plain, "--rescorer", str(judge), "--out", str(judged)]) == 0
    samples = soundfile.read(judged)[0]
    assert np.isfinite(samples).all()
    assert not np.array_equal(samples, soundfile.read(out)[0])
    sidecar = str(judged.with_suffix(".json"))
    assert main(["render", "--from", sidecar, "--quiet", "--out", str(again)]) == 0
    assert np.array_equal(soundfile.read(again)[0], samples)


def test_a_rescorer_for_what_cannot_be_rescored_is_told_before_anything_loads(
    tmp_path: Path, tiny_text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = convert_recorded(tmp_path, "magnet")
    out = ["--prompt", "rain", "--seconds", "1", "--quiet", "--out", str(tmp_path / "out.wav")]
    for model, judge, reason in (
        (tiny_text, tiny_text, "load a MAGNeT, or leave it out"),
        (folder, tiny_text, "cannot rescore: expected a text MusicGen"),
        (folder, tmp_path / "none", "none"),
    ):
        asked = ["render", "--model", str(model), "--rescorer", str(judge), *out]
        assert main(asked) != 0
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()
