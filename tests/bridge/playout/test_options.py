"""The start message: defaults, ranges, and no word of it ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.config import ConfigError, read_config
from bridge.model_format import ModelFormat
from bridge.playout.device_list import DeviceWish
from bridge.playout.options import PlayoutOptions
from bridge.start_messages import playout_start
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError


def _options(**changes: Any) -> PlayoutOptions:
    message = {
        "type": "start",
        "output": "null",
        "hop_samples": 640,
        "timeline": Timeline.start(124, 3).to_json(),
    }
    return PlayoutOptions.from_message(message | changes)


def test_defaults() -> None:
    options = _options()
    assert (options.output, options.wants_device, options.wav_path) == ("null", False, None)
    assert (options.ceiling_db, options.gain_db, options.horizon_seconds) == (-1.0, 0.0, 0.04)
    assert (options.is_open, options.is_muted, options.sends_pcm) == (True, False, False)
    assert options.wish == DeviceWish()
    assert options.grid.timeline == Timeline.start(124, 3)
    assert options.grid.hop_samples == 640


def test_what_is_given_counts() -> None:
    options = _options(
        output="jack", device_name="USB", block=256, device_rate_hz=44100, device_channels=1
    )
    assert options.wants_device
    assert options.wish == DeviceWish("USB", True, 256, 44100, 1)
    assert _options(output="wav:out/take.wav").wav_path == Path("out/take.wav")
    assert _options(pace="host").is_host_paced
    assert not _options(is_open=False).is_open
    assert _options(device_rate_hz=None).wish.rate_hz is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output", "speaker"),
        ("output", "wav:"),
        ("output", 3),
        ("device_name", 3),
        ("ceiling_db", 0.5),
        ("ceiling_db", float("nan")),
        ("ceiling_db", True),
        ("horizon_ms", 5),
        ("fade_ms", 51),
        ("hop_samples", None),
        ("hop_samples", 0),
        ("hop_samples", 1.5),
        ("block", -1),
        ("pcm", "yes"),
        ("pace", "fast"),
        ("timeline", None),
        ("timeline", {"bpm": 120}),
        ("volume", 11),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"{name}|timeline"):
        _options(**{name: value})


@pytest.mark.parametrize(("text", "is_host_paced"), [('pace = "host"', True), ("", False)])
def test_the_settings_say_whose_clock_the_music_keeps_to(
    tmp_path: Path, text: str, is_host_paced: bool
) -> None:
    path = tmp_path / "jam.toml"
    path.write_text(f"[output]\n{text}\n")
    state = {"timeline": Timeline.start(120).to_json()}
    message = playout_start(read_config(path, {}), state, ModelFormat(), is_again=False)
    assert PlayoutOptions.from_message(message).is_host_paced is is_host_paced


def test_a_clock_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jam.toml"
    path.write_text('[output]\npace = "fast"\n')
    with pytest.raises(ConfigError, match="pace is 'fast': expected one of device, host"):
        read_config(path, {})
