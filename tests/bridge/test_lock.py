"""The lock against a second daemon, across real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.lock import AlreadyRunningError, DaemonLock, runtime_folder
from musicgen_rt.errors import MusicgenRTError

HOLDER = (
    "import sys\nfrom pathlib import Path\nfrom bridge.lock import DaemonLock\n"
    "lock = DaemonLock(int(sys.argv[1]), Path(sys.argv[2]))\nlock.acquire()\n"
    "print('held', flush=True)\nsys.stdin.read()\n"
)


def hold(port: int, folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(port), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_daemon_is_told_who_the_first_is(tmp_path: Path) -> None:
    with hold(9120, tmp_path) as holder:
        with pytest.raises(AlreadyRunningError) as caught:
            DaemonLock(9120, tmp_path).acquire()
        assert caught.value.pid == holder.pid
        assert "OSC port 9120" in str(caught.value)
        assert f"kill {holder.pid}" in str(caught.value)
        with DaemonLock(9130, tmp_path):  # another port is another daemon
            pass
        assert holder.stdin is not None
        holder.stdin.close()
    with DaemonLock(9120, tmp_path):
        pass


def test_the_lock_of_a_killed_daemon_is_free(tmp_path: Path) -> None:
    with hold(9120, tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / "osc-9120.lock").exists()
    with DaemonLock(9120, tmp_path):
        pass


@pytest.mark.parametrize("note", [b"", b"not json", b'{"pid": "x"}', b"[" * 500])
def test_a_lock_file_that_holds_anything_does_not_matter(tmp_path: Path, note: bytes) -> None:
    (tmp_path / "osc-9120.lock").write_bytes(note)
    with DaemonLock(9120, tmp_path):
        pass


def test_a_child_that_outlives_its_parent_does_not_hold_the_lock(tmp_path: Path) -> None:
    lock = DaemonLock(9120, tmp_path)
    lock.acquire()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as child:
        lock.release()
        with DaemonLock(9120, tmp_path):
            pass
        assert child.stdin is not None
        child.stdin.close()


def test_a_link_in_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("text")
    (tmp_path / "osc-9120.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        DaemonLock(9120, tmp_path).acquire()
    assert target.read_text() == "text"


def test_a_port_that_the_system_chooses_needs_no_lock(tmp_path: Path) -> None:
    with DaemonLock(0, tmp_path), DaemonLock(0, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_runtime_folder_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = runtime_folder()
    assert folder == tmp_path / "musicgen-rt"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    (tmp_path / "other").mkdir()
    folder.symlink_to(tmp_path / "other")
    with pytest.raises(MusicgenRTError, match="not a folder of yours"):
        runtime_folder()
