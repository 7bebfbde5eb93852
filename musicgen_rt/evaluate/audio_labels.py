"""Whether generated music is tagged as its reference is, and as its prompt says: KL and CLAP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicgen_rt.errors import AudioFileError, ParameterError
from musicgen_rt.offline.sidecar import is_sidecar, read_sidecar, sidecar_path

Vectors = NDArray[np.floating]

_MAX_CAPTION_BYTES = 10_000
# A class that a network calls impossible must not make the divergence infinite.
_LEAST_PROBABILITY = 1e-6


def kl_divergence(reference: Vectors, generated: Vectors) -> float:
    """KL(reference || generated) in nats of two distributions [C] over the same classes.

    Probabilities are held at 1e-6 or more. Raises ParameterError for values that are no
    distributions or of different lengths.
    """
    for values in (reference, generated):
        is_one = values.ndim == 1 and np.isfinite(values).all() and (values >= 0).all()
        if not is_one or abs(values.sum() - 1.0) > 1e-3 or values.shape != reference.shape:
            raise ParameterError(
                "class probabilities: expected two rows of one length, each 0 or more with sum 1"
            )
    ours = np.maximum(np.asarray(reference, np.float64), _LEAST_PROBABILITY)
    theirs = np.maximum(np.asarray(generated, np.float64), _LEAST_PROBABILITY)
    ours, theirs = ours / ours.sum(), theirs / theirs.sum()
    return float((ours * np.log(ours / theirs)).sum())


def mean_cosine(one: Vectors, other: Vectors) -> float:
    """The mean over rows of the cosine between vectors [n, D]; NaN rows do not occur."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())


def caption_of(audio: Path) -> str | None:
    """What the clip was asked to be: `NAME.txt` beside it, or the prompts of its render's sidecar.

    None where neither says anything. Raises AudioFileError for a caption that is no short text.
    """
    text_file = audio.with_suffix(".txt")
    if text_file.is_file():
        return _read_caption(text_file) or None
    sidecar = sidecar_path(audio)
    if not is_sidecar(sidecar):
        return None
    prompts = read_sidecar(sidecar).recipe.prompts
    return max(prompts, key=lambda prompt: prompt.weight).text if prompts else None


def asked_tempo(audio: Path) -> tuple[float, int] | None:
    """The tempo in BPM and the beats in a bar that a render was told, by its sidecar, or None."""
    sidecar = sidecar_path(audio)
    if not is_sidecar(sidecar):
        return None
    recipe = read_sidecar(sidecar).recipe
    return None if recipe.bpm is None else (recipe.bpm, recipe.beats_per_bar or 4)


def paired_names(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """The names that both sets have, in order."""
    return sorted(set(one) & set(other))


def _read_caption(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_CAPTION_BYTES:
            raise AudioFileError(
                f"{path} has {path.stat().st_size} bytes: expected a caption of up to "
                f"{_MAX_CAPTION_BYTES}"
            )
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AudioFileError(f"{path} cannot be read as text ({error})") from error
