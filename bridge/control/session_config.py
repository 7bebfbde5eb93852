"""What a session begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from bridge.protocol import BY_ADDRESS
from bridge.refusal import Refusal
from bridge.table.terms import NUM_SLOTS, PARAMETERS


@dataclass(frozen=True)
class SessionConfig:
    """The scene that plays at the start, and the folders that names in messages live in.

    `prompts` are (text, weight) for the slots from 0 on; `params` are by the names of
    `/mgrt/param/set/...`. Raises Refusal, naming value and range, for what the protocol refuses.
    """

    inputs_folder: Path
    recordings_folder: Path
    banks_folder: Path
    model: str = "pocket"
    bpm: float = 120.0
    beats_per_bar: int = 4
    beat_unit: int = 4
    frame_rate_hz: Fraction | int = 50
    prompts: tuple[tuple[str, float], ...] = ()
    negative: str | None = None
    params: Mapping[str, float] = field(default_factory=dict)
    gain_db: float = 0.0
    is_playing: bool = True
    # By device: how much later than it says it is heard.
    output_latencies_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.prompts) > NUM_SLOTS:
            raise Refusal(f"{len(self.prompts)} prompts: expected at most {NUM_SLOTS}")
        for slot, (text, weight) in enumerate(self.prompts):
            _check("prompt/set", slot, text, weight)
        if self.negative is not None:
            _check("prompt/negative", self.negative)
        for name, value in self.params.items():
            if name not in PARAMETERS:
                raise Refusal(f"parameter {name!r}: expected one of {', '.join(PARAMETERS)}")
            _check(f"param/set/{name}", value)
        _check("clock/tempo", self.bpm)
        _check("clock/signature", self.beats_per_bar, self.beat_unit)
        _check("audio/gain_db", self.gain_db)


def _check(path: str, *values: Any) -> None:
    BY_ADDRESS[f"/mgrt/{path}"].call(values)
