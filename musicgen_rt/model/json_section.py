"""One object of a checkpoint's JSON files, read field by field with a clear error for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_rt.errors import CheckpointError


@dataclass(frozen=True)
class JsonSection:
    """One object of a JSON file; every read is checked and names the field when it fails."""

    name: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, value: object) -> JsonSection:
        if not isinstance(value, Mapping):
            raise CheckpointError(
                f"{name} is {shown(value)}, expected a JSON object; "
                "is this the config.json of a MusicGen checkpoint?"
            )
        return cls(name, value)

    def section(self, key: str) -> JsonSection:
        return JsonSection.of(f"{self.name}: {key}", self.values.get(key))

    def fail(self, key: str, value: object, expected: str) -> CheckpointError:
        return CheckpointError(f"{self.name}: {key} is {shown(value)}, expected {expected}")

    def integer(self, key: str, default: int | None, low: int, high: int) -> int:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(key, value, f"a whole number in {low}..{high}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fail(key, value, f"a number in {low}..{high}")
        if not (math.isfinite(value) and low <= value <= high):
            raise self.fail(key, value, f"a finite number in {low}..{high}")
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, value, "true or false")
        return value

    def choice(self, key: str, default: str | None, allowed: tuple[str, ...]) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.fail(key, value, "one of " + ", ".join(repr(item) for item in allowed))
        return value

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        unknown = sorted(set(self.values) - set(known))
        if unknown:
            raise CheckpointError(
                f"{self.name}: unknown key {unknown[0]!r}, expected only {', '.join(known)}"
            )


def shown(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
