"""A compiled step for CPUs, with the plain one where there is no compiler."""

from __future__ import annotations

import functools
import logging
import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor

from musicgen_rt.model.lm import LM, DecoderLayer, call_layer
from musicgen_rt.model.quantised_cache import cache_folder

log = logging.getLogger(__name__)

_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def has_compiler() -> bool:
    """Whether torch can compile for the CPU here: it needs a C++ compiler."""
    names = [os.environ.get("CXX"), "g++", "clang++", "c++", "cl"]
    return any(shutil.which(name) for name in names if name)


def _keep_compiled_code() -> None:
    """Move torch's cache from the temporary folder, which a restart empties, to the user's own."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Importing torch's compiler sets the variable to its default; another value is the user's.
    if os.environ.get(_CACHE_VARIABLE) in (None, default_cache_dir()):
        os.environ[_CACHE_VARIABLE] = str(cache_folder() / "compiled")


@functools.lru_cache(maxsize=4)
def compiled_step(lm: LM) -> Callable[..., Tensor]:
    """`lm.step` with its layers compiled; plain on other devices and without a compiler.

    One layer is compiled and serves all: the first step takes seconds instead of the minute that
    the whole step would, and runs as fast. The result is kept in the user's cache folder.
    """
    if lm.device.type != "cpu":
        return lm.step
    if not has_compiler():
        log.warning("no C++ compiler found: the step runs uncompiled, which is slower")
        return lm.step
    _keep_compiled_code()
    # Only what can change is checked at each call: the shapes of what comes in.
    compiled = torch.compile(
        call_layer, options={"guard_filter_fn": torch.compiler.keep_tensor_guards_unsafe}
    )

    def run_layer(
        layer: DecoderLayer,
        x: Tensor,
        positions: Tensor,
        past: tuple[Tensor, Tensor],
        mask: Tensor,
        text: tuple[Tensor, Tensor, Tensor] | None,
    ) -> Tensor:
        # The span grows with the position; all else is static. Said beforehand, so that the same
        # code serves every span and results do not depend on which one came first.
        torch._dynamo.mark_dynamic(mask, 1)
        output: Tensor = compiled(layer, x, positions, past, mask, text)
        return output

    return functools.partial(lm.step, run_layer=run_layer)
