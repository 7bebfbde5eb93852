"""The worker's process over a stand-in: `python -m tests.support.stand_in_worker --pipe-fd ...`.

The model that the start message names is a tiny checkpoint's folder. The environment variable
MUSICGEN_RT_STAND_IN names a JSON file with what the stand-in shall do, see `stand_in.follow_file`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from musicgen_rt.live import build
from musicgen_rt.live.worker import leave, main

FILE_VARIABLE = "MUSICGEN_RT_STAND_IN"


def load(source: str, **options: Any) -> Any:
    """In place of `MusicGen.load`."""
    from musicgen_rt.model.musicgen import MusicGen
    from tests.support.stand_in import StandIn, follow_file, stand_in_model

    stand_in = StandIn()
    file = os.environ.get(FILE_VARIABLE)
    if file is not None:
        follow_file(stand_in, Path(file))
    return stand_in_model(MusicGen.load(source, **options), stand_in)


if __name__ == "__main__":
    # The stand-in takes the place of the model's own step, which compiled code would pass by.
    vars(build)["native_step"] = lambda lm: None
    leave(main(load=load))
