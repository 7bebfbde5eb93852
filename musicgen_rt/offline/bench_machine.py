"""The machine that figures are of."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from musicgen_rt.model.native_build import compiler

_TELLING_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
    "sve",
)

# Far beyond the caches of most processors.
_READ_BYTES = 400_000_000
_READS = 7


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What decides speed, for `json.dumps`."""
    info = _cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "has_compiler": compiler() is not None,
        "memory_read_gb_per_second": memory_read_gb_per_second(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "musicgen_rt": version("musicgen-rt"),
    }


def memory_read_gb_per_second() -> float:
    """How fast all threads together read memory here: the bound of a step on a CPU.

    On shared machines it varies from hour to hour, and every figure with it.
    """
    numbers = torch.ones(_READ_BYTES // 4)
    seconds = []
    for _ in range(_READS):
        begun = time.perf_counter()
        numbers.sum()
        seconds.append(time.perf_counter() - begun)
    return _READ_BYTES / statistics.median(seconds) / 1e9


def _usable_cores() -> int:
    """Those that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_info() -> dict[str, str]:
    """The first processor's part of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
