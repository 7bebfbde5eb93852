"""What the playout is told at its start: the checked form of the `start` message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.levels import GAIN_RANGE_DB
from bridge.playout.device_list import DeviceWish
from bridge.playout.gate import MAX_FADE_SECONDS
from bridge.playout.grid import Grid
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError

OUTPUTS = ("device", "jack", "null", "none")
PACES = ("device", "host")
NULL_RATE_HZ = 48000

_WAV = "wav:"
# Name, default, lowest, highest; in the message's units.
_NUMBERS = (
    ("ceiling_db", -1.0, -30.0, 0.0),
    ("gain_db", 0.0, *GAIN_RANGE_DB),
    ("horizon_ms", 40.0, 10.0, 1000.0),
    ("start_ms", 200.0, 20.0, 5000.0),
    ("return_ms", 200.0, 20.0, 5000.0),
    ("fade_ms", 20.0, 5.0, 1000 * MAX_FADE_SECONDS),
)
_COUNTS = (
    ("hop_samples", None, 1, 100_000),
    ("block", 0, 0, 8192),
    ("device_rate_hz", 0, 0, 768_000),
    ("device_channels", 0, 0, 64),
)
_FLAGS = (("is_muted", False), ("is_open", True), ("pcm", False))


@dataclass(frozen=True)
class PlayoutOptions:
    """All of it. `wav_path` is where the null output's samples go, if anywhere."""

    output: str
    wav_path: Path | None
    wish: DeviceWish
    grid: Grid
    ceiling_db: float
    gain_db: float
    is_muted: bool
    is_open: bool
    sends_pcm: bool
    is_host_paced: bool
    horizon_seconds: float
    start_seconds: float
    return_seconds: float
    fade_seconds: float

    @property
    def wants_device(self) -> bool:
        """Whether a real device is to be opened."""
        return self.output in ("device", "jack")

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> PlayoutOptions:
        """Raises ParameterError for what is missing or outside its range; nothing is ignored."""
        values = dict(message)
        values.pop("type", None)
        output, wav_path = _output(values.pop("output", "device"))
        name = values.pop("device_name", None)
        if not (name is None or isinstance(name, str)):
            raise ParameterError(f"device_name is {name!r}: expected a text or null")
        pace = values.pop("pace", "device")
        if pace not in PACES:
            raise ParameterError(f"pace is {pace!r}: expected one of {', '.join(PACES)}")
        numbers = {row[0]: _number(values, *row) for row in _NUMBERS}
        counts = {row[0]: _count(values, *row) for row in _COUNTS}
        flags = {key: _flag(values, key, default) for key, default in _FLAGS}
        timeline = values.pop("timeline", None)
        if not isinstance(timeline, Mapping):
            raise ParameterError(f"timeline is {timeline!r}: expected what Timeline.to_json makes")
        if values:
            raise ParameterError(f"unknown options of the playout: {', '.join(sorted(values))}")
        return cls(
            output=output,
            wav_path=wav_path,
            wish=DeviceWish(
                name=name,
                is_jack=output == "jack",
                block_frames=counts["block"],
                rate_hz=counts["device_rate_hz"] or None,
                channels=counts["device_channels"] or None,
            ),
            grid=Grid(Timeline.from_json(timeline), counts["hop_samples"]),
            ceiling_db=numbers["ceiling_db"],
            gain_db=numbers["gain_db"],
            is_muted=flags["is_muted"],
            is_open=flags["is_open"],
            sends_pcm=flags["pcm"],
            is_host_paced=pace == "host",
            horizon_seconds=numbers["horizon_ms"] / 1000,
            start_seconds=numbers["start_ms"] / 1000,
            return_seconds=numbers["return_ms"] / 1000,
            fade_seconds=numbers["fade_ms"] / 1000,
        )


def _output(value: object) -> tuple[str, Path | None]:
    if isinstance(value, str) and value.startswith(_WAV) and len(value) > len(_WAV):
        return "wav", Path(value[len(_WAV) :])
    if not isinstance(value, str) or value not in OUTPUTS:
        raise ParameterError(f"output is {value!r}: expected one of {', '.join(OUTPUTS)}, wav:PATH")
    return value, None


def _number(values: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = values.pop(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}: expected {low:g} to {high:g}")
    return float(value)


def _count(values: dict[str, Any], name: str, default: int | None, low: int, high: int) -> int:
    value = values.pop(name, default)
    if value is None and default is not None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}: expected a whole number, {low} to {high}")
    return value


def _flag(values: dict[str, Any], name: str, default: bool) -> bool:
    value = values.pop(name, default)
    if value not in (True, False):
        raise ParameterError(f"{name} is {value!r}: expected true or false")
    return bool(value)
