"""The peak of memory over a stretch of a program."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch

from musicgen_rt.offline.bench_figures import MemoryFigures

_STATUS = Path("/proc/self/status")
# Writing 5 here sets the peak of the resident set to what it is now (Linux: man 5 proc).
_CLEAR = Path("/proc/self/clear_refs")
_MB = 1e6


class PeakMemory:
    """Watches from its making on. One at a time: the peak is the process's own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_lifetime = True
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")
            self._is_lifetime = False
        self._before_mb = _status_mb("VmRSS") or _lifetime_peak_mb()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def figures(self) -> MemoryFigures:
        """The peak so far."""
        peak_cuda_mb = None
        if self._device.type == "cuda":
            peak_cuda_mb = torch.cuda.max_memory_allocated(self._device) / _MB
        return MemoryFigures(
            peak_rss_mb=_status_mb("VmHWM") or _lifetime_peak_mb(),
            rss_before_mb=self._before_mb,
            is_lifetime=self._is_lifetime,
            peak_cuda_mb=peak_cuda_mb,
        )


def _status_mb(field: str) -> float | None:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith(f"{field}:")), None)
    return None if kib is None else int(kib) * 1024 / _MB


def _lifetime_peak_mb() -> float | None:
    """None on systems that do not tell."""
    if sys.platform == "win32":
        return None
    import resource

    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / _MB
