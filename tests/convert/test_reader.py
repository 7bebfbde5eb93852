"""A pickle is read apart, and gives tensors and text or nothing."""

from __future__ import annotations

import collections
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from musicgen_rt.convert import reader
from musicgen_rt.convert.reader import RefusedError

STATE = {"weight": torch.arange(6.0).view(2, 3)}


class Call:
    """Pickled as a call: what an attack looks like."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def refused(path: Path, tmp_path: Path) -> str:
    out = tmp_path / "refused"
    out.mkdir()
    with pytest.raises(RefusedError) as caught:
        reader.read(path, out)
    assert not list(out.iterdir())
    return str(caught.value)


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def run_reader(path: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "musicgen_rt.convert.reader", str(path), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_process_leaves_tensors_and_facts(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    shared = torch.ones(2, 2)
    state = {**STATE, "a": shared, "b": shared.t(), "half": torch.zeros(1, dtype=torch.float16)}
    package = {"best_state": collections.OrderedDict(state), "xp.cfg": "a: 1", "exported": True}
    path = saved(tmp_path / "state_dict.bin", package)
    out = tmp_path / "out"
    out.mkdir()
    done = run_reader(path, out)
    assert (done.returncode, done.stdout.strip()) == (0, "{}"), done.stderr
    found = load_file(out / reader.STATE)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert (out / reader.FACTS).read_text() == '{"xp.cfg": "a: 1", "exported": true}'


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_call_is_refused_by_name_and_never_made(tmp_path: Path, is_zip: bool) -> None:
    marker = tmp_path / "marker"
    package = {"best_state": STATE, "xp.cfg": Call(os.mkdir, str(marker))}
    options = {"_use_new_zipfile_serialization": is_zip}
    path = saved(tmp_path / "state_dict.bin", package, **options)
    assert "posix.mkdir" in refused(path, tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("is_hidden", [True, False])
def test_names_of_later_protocols_are_refused_even_where_they_are_hidden(
    tmp_path: Path, is_hidden: bool
) -> None:
    """A harmless name is pushed last, and the one that is called is taken from the memo."""
    marker = tmp_path / "marker"

    def text(value: str) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value.encode()

    hidden = [text("posix") + b"\x940", text("mkdir") + b"\x940", text("collections") + b"0"]
    hidden += [text("OrderedDict") + b"0", b"h\x00h\x01\x93", text(str(marker)), b"\x85R."]
    program = b"\x80\x04" + b"".join(hidden)
    path = tmp_path / "state_dict.bin"
    if is_hidden:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", program)
    else:
        saved(path, {"best_state": collections.OrderedDict(STATE)}, pickle_protocol=4)
    assert "protocol 4" in refused(path, tmp_path)
    assert not marker.exists()
    if is_hidden:
        pickle.loads(program)
        assert marker.exists(), "it would have been a call"


def test_a_configuration_object_is_refused_by_name(tmp_path: Path) -> None:
    package = {"best_state": STATE, "xp.cfg": collections.Counter("ab")}
    path = saved(tmp_path / "checkpoint.th", package)
    assert "collections.Counter" in refused(path, tmp_path)


def test_the_state_of_a_training_run_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "checkpoint.th", {"best_state": {"model": STATE}, "xp.cfg": ""})
    assert "not those of a training run" in refused(path, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (STATE["weight"], "holds a Tensor"),
        ({"best_state": [1]}, "best_state is a list"),
        ({"best_state": STATE, "history": [1, 2]}, "'history' is a list"),
        ({"best_state": {"x": torch.zeros(2, dtype=torch.complex64)}}, "not a plain dense"),
    ],
)
def test_another_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    assert message in refused(saved(tmp_path / "file.bin", content), tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state_dict.bin"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert "not a file of torch.save" in refused(path, tmp_path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "state_dict.bin", {"best_state": STATE, "xp.cfg": ""})
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged or cut short" in refused(path, tmp_path)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    """Nothing unpacks to more than its file has bytes."""
    path = tmp_path / "state_dict.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"best_state": {}}) + bytes(100_000))
    assert "compressed" in refused(path, tmp_path)


def test_the_guard_refuses_the_network_programs_and_other_folders(tmp_path: Path) -> None:
    """In a process of its own, since an audit hook stays for ever."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    code = f"""
import os, socket, subprocess
from pathlib import Path
from musicgen_rt.convert.reader import forbid_all_but
inside, outside = Path({str(inside)!r}), Path({str(outside)!r})
forbid_all_but(inside)
(inside / "file").write_text("yes")
attempts = [
    lambda: socket.socket(), lambda: subprocess.run(["true"]), lambda: os.system("true"),
    lambda: outside.write_text("no"), lambda: os.remove(inside / "file"), os.fork,
]
refused = 0
for attempt in attempts:
    try:
        attempt()
    except PermissionError:
        refused += 1
print(refused, len(attempts))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["6", "6"], done.stderr
    assert (inside / "file").exists() and not outside.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_a_process_that_left_the_network_reaches_nothing() -> None:
    """Not even this machine's own loopback, where a listener waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import socket
from musicgen_rt.convert.reader import leave_the_network
if leave_the_network():
    try:
        socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=60)
    except OSError:
        print("unreachable")
else:
    print("not allowed")
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    if done.stdout.strip() == "not allowed":
        pytest.skip("this system lets no process leave the network; the audit hook stands alone")
    assert done.stdout.strip() == "unreachable", done.stderr
