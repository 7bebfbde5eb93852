"""What outputs are later than their drivers say, as measured: one small JSON file, by device."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from bridge.refusal import Refusal

FILE_NAME = "output-latency.json"
MAX_LATENCY_MS = 1000.0


def read_latencies(folder: Path) -> dict[str, float]:
    """Milliseconds by device; none where nothing was measured. Raises Refusal for nonsense."""
    path = folder / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Refusal(
            f"{path} cannot be read ({error}): run musicgen-rt calibrate again"
        ) from error
    if not isinstance(values, dict) or not all(map(_is_latency, values.values())):
        raise Refusal(
            f"{path}: expected devices with -{MAX_LATENCY_MS:g} to {MAX_LATENCY_MS:g} "
            "milliseconds each; run musicgen-rt calibrate again"
        )
    return {str(device): float(value) for device, value in values.items()}


def write_latency(folder: Path, device: str, latency_ms: float) -> Path:
    """Keep one device's latency beside the others'; the file.

    A file that is not to be read is begun anew. Raises OSError, and Refusal for a latency that no
    output has, which leaves the file as it is.
    """
    if not _is_latency(latency_ms):
        raise Refusal(
            f"{device} is {latency_ms:g} ms late: expected at most {MAX_LATENCY_MS:g} either way; "
            "look at the cable and at the device's settings"
        )
    others: Mapping[str, float] = {}
    with contextlib.suppress(Refusal):
        others = read_latencies(folder)
    values = {**others, device: round(latency_ms, 3)}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    staged.replace(path)
    return path


def _is_latency(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) <= MAX_LATENCY_MS  # type: ignore[arg-type]
