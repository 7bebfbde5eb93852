"""The sidecar: a JSON file beside a render that can make it again, and knows if it did."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from musicgen_rt.errors import ParameterError
from musicgen_rt.live.song_plan import PlacedSection
from musicgen_rt.offline.recipe import Recipe
from musicgen_rt.offline.render import Rendered
from musicgen_rt.offline.staged_files import unwritable

FORMAT = "musicgen-rt render"
VERSION = 1
SUFFIX = ".json"
_MAX_BYTES = 64 * 2**20
_PACKAGES = ("musicgen-rt", "torch", "numpy", "transformers")


@dataclass(frozen=True)
class Sidecar:
    """What was rendered: the recipe with every choice made, and what came of it.

    `model` is what `model_identity` says of it. The two hashes are of the tokens and of the samples
    as the model made them, before loudness or the file's encoding. `sections` are a song's.
    """

    recipe: Recipe
    model: dict[str, Any]
    tokens_sha256: str
    samples_sha256: str
    sections: tuple[PlacedSection, ...] = ()


def sidecar_path(audio: Path) -> Path:
    """Where the sidecar of an audio file lies: `take.wav` -> `take.json`."""
    return audio.with_suffix(SUFFIX)


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar. Raises ParameterError if it is missing, damaged or something else."""
    value = _read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ParameterError(f"{path} is not a render's sidecar: expected a file made by render")
    if value.get("version") != VERSION:
        raise ParameterError(
            f"{path} has the version {value.get('version')!r}: expected {VERSION}; "
            "render it with the release that wrote it"
        )
    try:
        result = value["result"]
        return Sidecar(
            recipe=Recipe.from_json(value["recipe"]),
            model=dict(value["model"]),
            tokens_sha256=str(result["tokens_sha256"]),
            samples_sha256=str(result["samples_sha256"]),
            sections=tuple(PlacedSection(**row) for row in result.get("sections", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ParameterError(f"{path} is damaged ({error})") from error


def is_sidecar(path: Path) -> bool:
    """Whether a file looks like a sidecar, of whatever version."""
    try:
        value = _read_json(path)
    except ParameterError:
        return False
    return isinstance(value, dict) and value.get("format") == FORMAT


def write_sidecar(path: Path, recipe: Recipe, model: dict[str, Any], made: Rendered) -> None:
    """Write a sidecar, to a staged name. Raises AudioFileError where that cannot be."""
    text = json.dumps(_document(recipe, model, made), indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def _document(recipe: Recipe, model: dict[str, Any], made: Rendered) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "recipe": recipe.to_json(),
        "model": model,
        "result": _finite(asdict(made)),
        "made_with": {
            **{package: _version(package) for package in _PACKAGES},
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _finite(value: Any) -> Any:
    """The value with infinities (the loudness of silence) as null, which JSON can say."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read_json(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if not path.is_file() or size > _MAX_BYTES:
            raise ParameterError(
                f"{path} is not a file of up to {_MAX_BYTES >> 20} MiB: expected a render's sidecar"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(f"{path} is not JSON ({error})") from error
