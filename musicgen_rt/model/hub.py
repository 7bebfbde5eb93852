"""Find a checkpoint by folder or by its id on the Hugging Face hub, downloading it once."""

from __future__ import annotations

import json
import os
import re
import threading
import unicodedata
from pathlib import Path

from musicgen_rt.errors import CheckpointError

KNOWN_IDS = (
    "facebook/musicgen-small",
    "facebook/musicgen-medium",
    "facebook/musicgen-large",
    "facebook/musicgen-melody",
    "facebook/musicgen-melody-large",
    "facebook/musicgen-stereo-small",
    "facebook/musicgen-stereo-medium",
    "facebook/musicgen-stereo-large",
    "facebook/musicgen-stereo-melody",
    "facebook/musicgen-stereo-melody-large",
)

# The model that ships with the package, by this name wherever a checkpoint is named.
POCKET = "pocket"
_POCKET_FOLDER = Path(__file__).resolve().parent.parent / "pocket"

# Weights, configs and the tokenizer; never pickles (*.bin) nor code (*.py).
_WANTED = ("*.safetensors", "*.json", "*.model", "*.txt")
_UNWANTED = ("*/*",)
_NEEDED = ("config.json", "tokenizer_config.json")
_ORGANISATION_AND_NAME = re.compile(r"\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?", re.ASCII)
_MAX_ID_CHARACTERS = 96
_MAX_SOURCE_CHARACTERS = 4096
_REQUEST_SECONDS = 8.0
# Names can take long to fail to resolve, outside of any request's own time-out.
_PROBE_SECONDS = 15.0
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def resolve(
    source: str, *, wanted: tuple[str, ...] = _WANTED, needed: tuple[str, ...] = _NEEDED
) -> Path:
    """Return the folder of a checkpoint: `source` itself, or the hub's copy in the local cache.

    Of a hub id the files `wanted` are downloaded, and a copy that lacks one of those `needed`, or
    weights that its index names, is not complete.

    "pocket" is the model that ships with this package (a folder of that name is ./pocket).

    A hub id that is in the cache in full needs no network. Without one the failure comes within
    20 s. Raises CheckpointError saying what to do.
    """
    if not source.strip() or len(source) > _MAX_SOURCE_CHARACTERS or _has_control(source):
        raise CheckpointError(
            f"checkpoint {source[:80]!r}: expected a folder or a hub id such as {KNOWN_IDS[0]}"
        )
    folder = _pocket() if source == POCKET else _existing_folder(source)
    if folder is not None:
        return folder
    hub_id = _checked_id(source)
    cached = _cached(hub_id, wanted, needed)
    return cached if cached is not None else _download(hub_id, wanted)


def _pocket() -> Path:
    if not (_POCKET_FOLDER / "config.json").is_file():
        raise CheckpointError(
            f"{_POCKET_FOLDER} is not there: this installation lacks the model that ships with "
            "it; install musicgen-rt again"
        )
    return _POCKET_FOLDER


def _has_control(source: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in source)


def _existing_folder(source: str) -> Path | None:
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return path.resolve()
        is_file = path.exists()
    except (OSError, RuntimeError) as error:  # a forbidden or too long path; no such ~user
        raise CheckpointError(f"{source[:80]}: cannot be looked at ({error})") from error
    if is_file:
        raise CheckpointError(f"{source}: is a file, expected the folder it is in")
    return None


def _checked_id(source: str) -> str:
    if f"facebook/{source}" in KNOWN_IDS:
        raise CheckpointError(f"{source}: no such folder; did you mean facebook/{source}?")
    if not _is_hub_id(source):
        raise CheckpointError(
            f"{source[:80]!r}: no such folder, and not a hub id (organisation/name); known ids: "
            + ", ".join(KNOWN_IDS)
        )
    return source


def _is_hub_id(source: str) -> bool:
    """The hub's own rules for ids (huggingface_hub: validate_repo_id), organisation required."""
    return (
        _ORGANISATION_AND_NAME.fullmatch(source) is not None
        and len(source) <= _MAX_ID_CHARACTERS
        and not source.endswith(".git")
        and ".." not in source
        and "--" not in source
    )


def _cached(hub_id: str, wanted: tuple[str, ...], needed: tuple[str, ...]) -> Path | None:
    """The cache's folder, if it has all that is needed: other programs fetch single files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                hub_id,
                local_files_only=True,
                allow_patterns=list(wanted),
                ignore_patterns=list(_UNWANTED),
            )
        )
    except LocalEntryNotFoundError:
        return None
    return folder if _is_complete(folder, set(needed)) else None


def _is_complete(folder: Path, needed: set[str]) -> bool:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            needed |= set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False
    elif "config.json" in needed:
        needed.add("model.safetensors")
    return all((folder / name).is_file() for name in needed)


def _download(hub_id: str, wanted: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    _probe(hub_id)
    try:
        return Path(
            snapshot_download(hub_id, allow_patterns=list(wanted), ignore_patterns=list(_UNWANTED))
        )
    # Network, disk, permission: the client raises many kinds, and all mean "not downloaded".
    except Exception as error:
        raise CheckpointError(
            f"{hub_id}: the download failed ({_first_line(error)}); start again, it goes on where "
            "it stopped, or give a local folder"
        ) from error


def _probe(hub_id: str) -> None:
    """Ask the hub for the id within a bounded time, before anything is downloaded."""
    variable = next((name for name in _OFFLINE_VARIABLES if _is_set(name)), None)
    if variable is not None:
        raise CheckpointError(
            f"{hub_id}: not in the local cache, and {variable} forbids the network; unset it, or "
            "give a local folder"
        )
    outcome: list[Exception | None] = []
    asking = threading.Thread(target=_ask_hub, args=(hub_id, outcome), daemon=True)
    asking.start()
    asking.join(_PROBE_SECONDS)
    error = outcome[0] if outcome else TimeoutError(f"no answer in {_PROBE_SECONDS:.0f} s")
    if error is not None:
        raise _unreachable(hub_id, error) from error


def _ask_hub(hub_id: str, outcome: list[Exception | None]) -> None:
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(hub_id, timeout=_REQUEST_SECONDS)
    # Handed to the thread that asked, whatever it is.
    except Exception as error:
        outcome.append(error)
    else:
        outcome.append(None)


def _unreachable(hub_id: str, error: Exception) -> CheckpointError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
        return CheckpointError(
            f"{hub_id}: the hub has no such checkpoint (or it is private); known ids: "
            + ", ".join(KNOWN_IDS)
        )
    return CheckpointError(
        f"{hub_id}: not in the local cache, and the hub cannot be reached ({_first_line(error)}); "
        "check the network, or give a local folder"
    )


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("1", "on", "yes", "true")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
