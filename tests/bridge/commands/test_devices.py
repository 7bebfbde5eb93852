"""`musicgen-rt devices`: a table for people, JSON for programs, and always an answer."""

from __future__ import annotations

import argparse
import json
import threading

import pytest

from bridge.commands import devices
from bridge.playout.device_list import Device
from bridge.playout.output import DeviceError

FOUND = [
    Device(0, "HDA Intel", "ALSA", 2, 44100, True),
    Device(3, "Scarlett 2i2 USB", "ALSA", 4, 48000, False),
]


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    devices.add_arguments(parser)
    return devices.run(parser.parse_args(words))


def _find(monkeypatch: pytest.MonkeyPatch, found: list[Device] | DeviceError) -> None:
    def list_devices() -> list[Device]:
        if isinstance(found, DeviceError):
            raise found
        return found

    monkeypatch.setattr(devices, "list_devices", list_devices)


def test_the_table_names_each_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _find(monkeypatch, FOUND)
    assert _run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["*", "HDA", "Intel", "ALSA", "2", "44100", "Hz"]
    assert lines[2].split() == ["Scarlett", "2i2", "USB", "ALSA", "4", "48000", "Hz"]
    assert "--device NAME" in lines[-1]


def test_json_has_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _find(monkeypatch, FOUND)
    assert _run("--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["HDA Intel", "Scarlett 2i2 USB"]
    assert rows[0]["is_default"] is True


def test_no_device_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _find(monkeypatch, [])
    assert _run() == 0
    assert "null output" in capsys.readouterr().out


def test_without_portaudio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _find(monkeypatch, DeviceError("PortAudio cannot be loaded: install it"))
    assert _run() == 69
    assert "install it" in capsys.readouterr().err


def test_drivers_that_hang_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_over = threading.Event()

    def hang() -> list[Device]:
        is_over.wait(30)
        return []

    monkeypatch.setattr(devices, "list_devices", hang)
    monkeypatch.setattr(devices, "_ANSWER_SECONDS", 0.01)
    assert _run() == 69
    is_over.set()
    assert "sound server may hang" in capsys.readouterr().err
