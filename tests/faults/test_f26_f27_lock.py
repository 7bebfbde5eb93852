"""F26: a second daemon gives way, and the first is untouched. F27: a stale lock is no lock."""

from __future__ import annotations

import signal
from pathlib import Path

from bridge.daemon import ALREADY_RUNNING
from tests.bridge.daemon_rig import END_SECONDS, READY_SECONDS, DaemonProcess, free_ports

NULL = ("--output", "null")
TONE = "tests.bridge.tone_daemon"


def test_f26_a_second_daemon_says_who_runs_and_leaves(tmp_path: Path) -> None:
    ports = free_ports()
    with DaemonProcess(tmp_path, *NULL, ports=ports, module=TONE) as first:
        first.ports()
        # The lock's folder is the first one's; all else is the second's own.
        env = {"XDG_RUNTIME_DIR": str(tmp_path)}
        other = tmp_path / "second"
        other.mkdir()
        with DaemonProcess(other, *NULL, ports=ports, env=env, module=TONE) as second:
            assert second.process.wait(READY_SECONDS) == ALREADY_RUNNING
            said = second.said.read_text()
            assert f"process {first.process.pid}" in said
            assert f"port {ports[0]}" in said
        assert first.client.status()["phase"] in ("loading", "playing")
        assert first.stop() < END_SECONDS + 2


def test_f26_a_port_that_another_program_holds_is_named(tmp_path: Path) -> None:
    ports = free_ports()
    with DaemonProcess(tmp_path, *NULL, ports=ports, module=TONE) as first:
        first.ports()
        other = tmp_path / "second"
        other.mkdir()
        # Another user's daemon: its lock lies elsewhere.
        with DaemonProcess(other, *NULL, ports=ports, module=TONE) as second:
            assert second.process.wait(READY_SECONDS) == 69
            assert str(ports[0]) in second.said.read_text()
        assert first.client.status()["phase"] in ("loading", "playing")


def test_f27_the_lock_of_a_killed_daemon_does_not_hinder(tmp_path: Path) -> None:
    ports = free_ports()
    with DaemonProcess(tmp_path, *NULL, ports=ports, module=TONE) as first:
        first.ports()
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        first.log.unlink()
        with DaemonProcess(tmp_path, *NULL, ports=ports, module=TONE) as second:
            second.ports()
            assert second.client.status()["phase"] in ("loading", "playing")
