"""Loads a checkpoint as a daemon's engine does, in a process of its own, and says how long it took.

python -m musicgen_rt.evaluate.pocket_load CHECKPOINT DEVICE WEIGHTS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Prints seconds as JSON: imports, the load itself, and from there to the first samples."""
    source, device, weights = arguments
    begun = time.perf_counter()
    from musicgen_rt.live.engine import Engine
    from musicgen_rt.model.musicgen import MusicGen

    imported = time.perf_counter()
    model = MusicGen.load(source, device=device, weights=weights)
    loaded = time.perf_counter()
    engine = Engine(model)
    engine.set_prompt("a steady beat")
    while not engine.step().samples.shape[1]:
        pass
    sounding = time.perf_counter()
    figures = {
        "import_seconds": imported - begun,
        "load_seconds": loaded - imported,
        "first_audio_seconds": sounding - loaded,
    }
    print(json.dumps({name: round(seconds, 3) for name, seconds in figures.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
