"""The doctor: each trouble is found and has a remedy."""

from __future__ import annotations

import argparse
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import doctor, doctor_probes
from bridge.commands import doctor as command
from bridge.config import Config
from bridge.doctor import Check, Finding, Verdict
from bridge.lock import DaemonLock
from bridge.settings import FolderConfig, MidiConfig, ModelConfig, NetworkConfig, OutputConfig
from tests.bridge.daemon_rig import free_ports


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def only(check: Check, config: Config) -> Finding:
    found = list(check(config))
    assert len(found) == 1, found
    return found[0]


def network(*ports: int) -> NetworkConfig:
    osc, zmq, pub, http = ports
    return NetworkConfig(osc_port=osc, zmq_port=zmq, pub_port=pub, http_port=http)


def test_free_ports_are_good() -> None:
    config = Config(network=network(*free_ports()))
    assert only(doctor.check_ports, config).verdict is Verdict.GOOD


def test_a_port_that_is_held_is_named_with_the_flag_to_change_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        config = Config(network=replace(network(*free_ports()), http_port=port))
        problem = next(iter(doctor.check_ports(config)))
    assert problem.verdict is Verdict.PROBLEM
    assert str(port) in problem.text
    assert "--http-port" in problem.remedy


def test_a_running_daemon_is_no_problem() -> None:
    config = Config(network=network(*free_ports()))
    with DaemonLock(config.network.osc_port):
        finding = only(doctor.check_ports, config)
    assert finding.verdict is Verdict.NOTE
    assert "another daemon" in finding.text


def test_models(tiny_text: Path, tmp_path: Path) -> None:
    def finding(source: str) -> Finding:
        return only(doctor.check_model, Config(model=ModelConfig(source=source)))

    assert finding(str(tiny_text)).verdict is Verdict.GOOD
    assert finding(str(tmp_path / "none")).verdict is Verdict.PROBLEM
    absent = finding("somebody/no-such-model")
    assert absent.verdict is Verdict.NOTE
    assert "downloaded" in absent.text


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    config = Config(folders=FolderConfig(data=Path("/proc/no-folder-here")))
    finding = only(doctor.check_folders, config)
    assert finding.verdict is Verdict.PROBLEM
    assert "--data" in finding.remedy


def test_what_is_turned_off_is_not_looked_for() -> None:
    config = Config(midi=MidiConfig(is_on=False), output=OutputConfig(output="null"))
    assert only(doctor.check_midi, config).verdict is Verdict.GOOD
    assert only(doctor.check_sound, config).verdict is Verdict.GOOD


def test_a_probe_that_dies_is_a_reason_and_no_traceback() -> None:
    assert "boom" in doctor_probes.ask("raise SystemExit('boom')")
    assert "exit code -6" in doctor_probes.ask("import os; os.abort()")
    assert doctor_probes.ask("print('noise'); print('[1]')") == [1]


def test_packages_that_are_there_are_found() -> None:
    finding = only(doctor.check_libraries, Config())
    assert finding.verdict is Verdict.GOOD
    assert "torch 2." in finding.text


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.NOTE, 0), (Verdict.PROBLEM, 1)])
def test_the_exit_code_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verdict: Verdict, code: int
) -> None:
    finding = Finding("sound", verdict, "no card", "buy one")
    monkeypatch.setattr(doctor, "CHECKS", (lambda config: iter((finding,)),))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([])) == code
    shown = capsys.readouterr().out
    assert "no card" in shown
    assert "buy one" in shown
    assert command.run(parser.parse_args(["--json"])) == code
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == verdict
