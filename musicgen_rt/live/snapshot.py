"""Snapshots: a session in one safetensors file, from which it goes on with the same tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from musicgen_rt.errors import CheckpointError, MusicgenRTError
from musicgen_rt.live.model_identity import require_same
from musicgen_rt.live.session import Session
from musicgen_rt.live.session_log import load_facts, require_model, session_facts
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.live.window import Window
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.safetensors_file import read_header

if TYPE_CHECKING:
    from musicgen_rt.live.engine import Engine

_METADATA_KEY = "musicgen-rt"
_CODES, _GIVEN, _AUDIO, _CACHE = "codes", "given", "audio.", "cache."


def save(engine: Engine, path: Path, *, with_cache: bool) -> None:
    """Write the session to `path`, whole or not at all.

    Raises CheckpointError if it cannot be written.
    """
    path = Path(path)
    facts, tensors = _captured(engine, with_cache)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata={_METADATA_KEY: json.dumps(facts)})
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(engine: Engine, path: Path) -> None:
    """Replace the engine's session by a snapshot's.

    Raises CheckpointError naming what is wrong or differs; the engine is then as it was.
    """
    path = Path(path)
    facts, tensors = _read(path)
    require_model(facts, engine.model, str(path))
    require_same(facts.get("options"), asdict(engine.options), "options", str(path))
    session = Session(engine.model, engine.options, engine.parts)
    try:
        _fill(session, facts, tensors, engine.model)
        cache = _cache_of(session, facts, tensors, engine.model)
    except (KeyError, TypeError, ValueError, MusicgenRTError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); expected a snapshot") from error
    engine.begin(session)
    if cache is not None:
        stream = session.stream
        rows = stream.rows_of_cache()
        slot = stream.caches.adopt(
            stream.windows[-1], rows, facts["cache_valid_from"], stream.diagonal
        )
        slot.cache.load(cache)


def _captured(engine: Engine, with_cache: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Facts for the file's metadata, and its tensors."""
    session, stream = engine.session, engine.session.stream
    store = stream.store
    facts = session_facts(engine) | {
        "first_frame": store.first_frame,
        "given_frames": store.given_frames,
        "audio_from": session.audio.origin_frame,
        "windows": [[w.start, w.since, w.memory_frames] for w in stream.windows],
        "windows_forgotten": stream.windows_forgotten,
        "cache_valid_from": None,
    }
    codes = store.frames(store.first_frame, store.end_frame)
    tensors = {_CODES: torch.from_numpy(codes), _GIVEN: torch.from_numpy(session.given)}
    for index, state in enumerate(session.audio.states()):
        tensors |= {f"{_AUDIO}{index}.{name}": tensor for name, tensor in state.items()}
    slot = stream.cache_in_use()
    if with_cache and slot is not None:
        facts["cache_valid_from"] = slot.valid_from
        used = slot.cache.tensors(stream.caches.position_of(slot, stream.diagonal))
        tensors |= {f"{_CACHE}{name}": tensor for name, tensor in used.items()}
    # A file holds each tensor once, so none may be a view of another.
    return facts, {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    read_header(path)  # refuses what is no safetensors file, or cut short, with a reason
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(metadata[_METADATA_KEY])
    except KeyError:
        raise CheckpointError(f"{path}: not a snapshot, but some other safetensors file") from None
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    return facts, tensors


def _fill(
    session: Session, facts: Mapping[str, Any], tensors: Mapping[str, Tensor], model: MusicGen
) -> None:
    load_facts(session, facts, model)
    stream, frames = session.stream, int(facts["frames"])
    codes = _checked_codes(tensors[_CODES], int(facts["first_frame"]), frames, model)
    windows = [Window(*map(int, values)) for values in facts["windows"]]
    if any(not 0 <= w.start <= w.since <= frames for w in windows):
        raise ValueError(f"windows {windows} in {frames} frames")
    stream.store.load(int(facts["first_frame"]), int(facts["given_frames"]), frames, codes)
    stream.resume(windows, int(facts["windows_forgotten"]), frames)
    session.given = tensors[_GIVEN].numpy()
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_AUDIO):
            index, _, part = name.removeprefix(_AUDIO).partition(".")
            states.setdefault(int(index), {})[part] = tensor
    session.audio.load([states[index] for index in range(len(states))], int(facts["audio_from"]))
    if not stream.store.first_frame <= session.audio.fed_frames <= stream.store.complete_frames:
        raise ValueError(f"audio of {session.audio.fed_frames} frames")


def _checked_codes(codes: Tensor, first: int, end: int, model: MusicGen) -> np.ndarray:
    lm = model.config.lm
    if codes.shape != (lm.num_codebooks, end - first) or codes.dtype != torch.int64:
        raise ValueError(f"codes {codes.dtype} {list(codes.shape)} of frames {first} to {end}")
    if codes.numel() and not UNKNOWN <= int(codes.min()) <= int(codes.max()) < lm.vocab_size:
        raise ValueError("codes outside of the codebooks")
    return codes.numpy()


def _cache_of(
    session: Session, facts: Mapping[str, Any], tensors: Mapping[str, Tensor], model: MusicGen
) -> dict[str, Tensor] | None:
    """The cache's tensors, checked; None if the file has none."""
    if facts["cache_valid_from"] is None:
        return None
    stream, lm = session.stream, model.config.lm
    rows, window = stream.rows_of_cache(), stream.windows[-1]
    prefix = stream.parts.conditions.prefix_length(rows)
    positions = prefix + window.position_of(stream.diagonal)
    shape = (len(rows), lm.num_heads, positions, lm.head_dim)
    cache = {}
    for name in (f"{part}.{i}" for part in ("keys", "values") for i in range(lm.num_layers)):
        tensor = cache[name] = tensors[_CACHE + name]
        if tensor.shape != shape or tensor.dtype != model.lm.dtype:
            raise ValueError(f"cache {name} is {tensor.dtype} {list(tensor.shape)}, not {shape}")
    if positions > session.stream.parts.pool.positions or not isinstance(
        facts["cache_valid_from"], int
    ):
        raise ValueError(f"a cache of {positions} positions")
    return cache
