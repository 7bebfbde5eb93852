"""The processes of a daemon, as the system shows them (Linux: proc(5))."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The child processes of a process, none if it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


def command_of(pid: int) -> str:
    """The command line of a process, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parts_of(daemon_pid: int) -> dict[str, int]:
    """Which of a daemon's processes are there now: engine, playout."""
    commands = {pid: command_of(pid) for pid in children_of(daemon_pid)}
    return {
        "playout" if "playout" in command else "engine": pid
        for pid, command in commands.items()
        if "--pipe-fd" in command
    }
