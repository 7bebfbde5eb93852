"""A daemon for clients of other makes: real processes, a tone for music, the null output."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridge.daemon_rig import DaemonProcess, OscClient

TONE = "tests.bridge.tone_daemon"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One daemon for all tests of a module that leave it playing."""
    folder = tmp_path_factory.mktemp("daemon")
    with DaemonProcess(folder, "--output", "null", module=TONE) as running:
        running.until_playing()
        yield running


@pytest.fixture
def ear(daemon: DaemonProcess) -> Iterator[OscClient]:
    """A client that hears of what others change."""
    client = OscClient(daemon.ports()["osc"])
    client.ask("/mgrt/notify", 1, seconds=60)
    yield client
    client.close()
