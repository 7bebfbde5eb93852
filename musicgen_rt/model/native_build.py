"""Builds the decoder's step for this processor with the machine's C++ compiler, once.

The library is kept in the user's cache folder under a name that changes with the source, the
compiler and the processor. Without a compiler, or if building fails, there is none: the step then
runs on torch's operators, which gives the same music up to rounding, slower.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from musicgen_rt.model.quantised_cache import cache_folder

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).parent / "native" / "decoder_step.cpp"
_COMPILERS = ("g++", "clang++", "c++")
# Sums may be reordered by the code itself only, so that a library gives the same on every run.
_FLAGS = ("-O3", "-std=gnu++17", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
# Threads are left out where the compiler has no OpenMP, as Apple's.
_VARIANTS = (("-fopenmp",), ("-fopenmp-simd",), ())
_BUILD_SECONDS = 120.0


def compiler() -> str | None:
    """The C++ compiler of this machine: `$CXX`, else the first that is installed."""
    names = [os.environ.get("CXX"), *_COMPILERS]
    return next((found for name in names if name and (found := shutil.which(name))), None)


@functools.lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """The library, built if this is the first time; None where it cannot be built (logged)."""
    program = compiler()
    if program is None:
        log.warning("no C++ compiler found (g++ or clang++): the model's step runs slower")
        return None
    path = cache_folder() / "native" / f"step-{_key(program)}.so"
    try:
        if not path.exists():
            _build(program, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the model's step could not be compiled, it runs slower: %s", error)
        return None


def _key(program: str) -> str:
    version = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    ).stdout
    parts = (_SOURCE.read_text(encoding="utf-8"), version, *_FLAGS, _processor())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _processor() -> str:
    """What tells processors apart that need other code."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"


def _build(program: str, path: Path) -> None:
    """Compile into `path`, whole or not at all. Raises OSError with what the compiler said."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("compiling the model's step for this processor (once, a few seconds)")
    target = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    said = ""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        for variant in _VARIANTS:
            command = [program, *_FLAGS, target, *variant, "-o", str(made), str(_SOURCE)]
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
            )
            if result.returncode == 0:
                os.replace(made, path)
                return
            said = said or result.stderr.strip()[-500:]
    raise OSError(f"{program} failed: {said}")
