"""Reads one pickled audiocraft file, in a process of its own that can do nothing else.

    python -I -m musicgen_rt.convert.reader FILE FOLDER

A pickle is a program. This process runs it with torch's restricted unpickler, which knows tensors
and plain containers only, behind an audit hook that refuses sockets, other programs and writing
anywhere but in FOLDER; on Linux it first leaves the network, where the system lets it. FOLDER then
has `state.safetensors`, the tensors of `best_state`, and `facts.json`, every other entry that is
text, a number or a boolean. The outcome is one JSON object on stdout, with `error` where it failed.
"""

from __future__ import annotations

import json
import os
import pickletools
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

STATE = "state.safetensors"
FACTS = "facts.json"

_STATE_KEY = "best_state"
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_FORBIDDEN_EVENTS = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile",
    "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown",
    "os.truncate", "os.kill", "shutil.", "ftplib.", "urllib.", "http.", "smtplib.", "webbrowser.",
    "pty.", "winreg.",
)  # fmt: skip
# What tensors in a state dict are made of.
_TENSOR_GLOBALS = frozenset(
    {
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
    }
)
_MAX_PICKLE_BYTES = 64_000_000
_ZIP_MAGIC = b"PK\x03\x04"
# torch's older form: a magic number, a version, the system, the content, the tensors' keys.
_OLD_PICKLES = 5
_PARSERS_RAISE = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError)
_READS_NAMES = ("GLOBAL", "INST")
_PUSHES_TEXT = (
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING",
    "SHORT_BINSTRING",
)  # fmt: skip


class RefusedError(Exception):
    """The file is not what this reader takes; the message says what was found."""


def leave_the_network() -> bool:
    """Move this process to a network of its own with no way out; whether the system allowed it.

    Only a process of a single thread can, so this comes before torch is imported.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    return ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0


def forbid_all_but(folder: Path) -> None:
    """From here on this process opens no socket, runs no program and writes only in `folder`."""
    inside = str(folder.resolve()) + os.sep

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN_EVENTS):
            raise PermissionError(f"the reader of a checkpoint may not do {event}")
        if event == "open" and _writes(arguments):
            path = os.path.realpath(os.fspath(arguments[0]))
            if not path.startswith(inside):
                raise PermissionError(f"the reader of a checkpoint may not write {path}")

    sys.addaudithook(hook)


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    if isinstance(path, int) or not isinstance(flags, int):
        return False
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC))


def read(path: Path, folder: Path) -> None:
    """Write what is in the file at `path` to `folder`. Raises RefusedError."""
    from safetensors.torch import save_file

    entries = _load(path)
    state = entries.pop(_STATE_KEY, {})
    if not isinstance(state, Mapping):
        raise RefusedError(f"{_STATE_KEY} is a {type(state).__name__}, expected tensors by name")
    facts = {}
    for key, value in entries.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
            raise RefusedError(
                f"entry {str(key)[:80]!r} is a {type(value).__name__}, expected text: only files "
                "that audiocraft.utils.export wrote are read, not those of a training run"
            )
        facts[key] = value
    save_file(_tensors(state), folder / STATE)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _load(path: Path) -> dict[Any, Any]:
    import torch

    with path.open("rb") as file:
        magic = file.read(len(_ZIP_MAGIC))
        if magic != _ZIP_MAGIC and not magic.startswith(b"\x80"):
            raise RefusedError(f"it is not a file of torch.save (it begins with {magic!r})")
        file.seek(0)
        is_zip = magic == _ZIP_MAGIC
        try:
            if is_zip:
                _check_archive(file)
            else:
                _check_stream(file)
        except _PARSERS_RAISE as error:
            raise RefusedError(f"it is damaged or cut short ({_first_line(error)})") from error
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    # torch raises what its parsers raise; none of it is more than "cannot be read".
    except Exception as error:
        raise RefusedError(f"it cannot be read ({_first_line(error)})") from error
    if not isinstance(entries, dict):
        raise RefusedError(f"it holds a {type(entries).__name__}, expected a dictionary")
    return entries


def _check_archive(file: IO[bytes]) -> None:
    """Look at an archive without running its pickle: sizes, and the names that it would call."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = next((m for m in members if m.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None:
            raise RefusedError(f"{packed.filename} is compressed, which torch.save never does")
        programs = [m for m in members if m.filename.endswith("/data.pkl")]
        if len(programs) != 1 or programs[0].file_size > _MAX_PICKLE_BYTES:
            raise RefusedError(f"expected one data.pkl of at most {_MAX_PICKLE_BYTES} bytes")
        _check_names(archive.read(programs[0]))


def _check_stream(file: IO[bytes]) -> None:
    """The same for the older form: pickles one after the other, then the tensors' bytes."""
    for _ in range(_OLD_PICKLES):
        _check_names(file)


def _check_names(program: bytes | IO[bytes]) -> None:
    """Refuse a pickle by the first name it uses that no state dict needs."""
    texts: list[str] = []
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in _PUSHES_TEXT:
            texts.append(str(argument))
        elif opcode.name in _READS_NAMES:
            module, _, name = str(argument).partition(" ")
            _check_name(module, name)
        elif opcode.name == "STACK_GLOBAL":
            _check_name(*(texts[-2:] if len(texts) > 1 else ("?", "?")))
            # Which names are on the stack is only sure once it runs, and it is never run.
            raise RefusedError(
                "its pickle is of protocol 4 or later, which torch.save does not use"
            )


def _check_name(module: str, name: str) -> None:
    is_storage = module in ("torch", "torch.storage") and name.endswith("Storage")
    if not is_storage and (module, name) not in _TENSOR_GLOBALS:
        raise RefusedError(
            f"it needs {module}.{name}, which is neither a tensor nor text; nothing of it was run"
        )


def _tensors(state: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """Plain tensors that share no memory, which safetensors asks for."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise RefusedError(
                f"{_STATE_KEY} has {str(name)[:80]!r}, a {type(tensor).__name__}, expected tensors"
                " by name: only exported files are read, not those of a training run"
            )
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise RefusedError(f"tensor {name} is not a plain dense one")
        owner = tensor.untyped_storage().data_ptr()
        plain = tensor.detach().contiguous()
        tensors[name] = plain.clone() if owner in seen else plain
        seen.add(owner)
    return tensors


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def main(arguments: list[str]) -> int:
    """The process: file and folder from the command line."""
    path, folder = (Path(argument) for argument in arguments)
    leave_the_network()
    # Loaded before the hook: libraries may run programs of their own while they are imported.
    import safetensors.torch  # noqa: F401
    import torch

    torch.set_num_threads(1)
    forbid_all_but(folder)
    outcome = {}
    try:
        read(path, folder)
    except RefusedError as error:
        outcome["error"] = str(error)
    except (OSError, MemoryError) as error:
        outcome["error"] = f"it cannot be read ({_first_line(error)})"
    print(json.dumps(outcome))
    return 1 if outcome else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
