"""The SuperCollider class in sclang, against a daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.bridge.daemon_rig import ROOT, DaemonProcess, OscClient, free_ports
from tests.patches.conftest import TONE
from tests.patches.sclang import FOLDER, QUARK, sclang

# sclang compiles its class library at each start, and waits for the daemon's beats.
pytestmark = pytest.mark.timeout(300)
RUN_SECONDS = 200.0


def test_its_unit_tests_pass(daemon: DaemonProcess, tmp_path: Path) -> None:
    spare = free_ports()[0]
    environment = {
        "MGRT_PORT": str(daemon.ports()["osc"]),
        "MGRT_SPARE_PORT": str(spare),
        "MGRT_QUARK": str(QUARK),
        "MGRT_PROGRAM": f"{sys.executable} -m {TONE}",
        "MGRT_FLAGS": "--no-midi --output null --zmq-port 0 --pub-port 0 --http-port 0 --data .",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    try:
        with sclang(tmp_path, FOLDER / "tests" / "run.scd", **environment) as run:
            line = run.wait_for("passed", RUN_SECONDS)
            assert run.wait_end() == 0, "\n".join(run.printed)
    finally:
        # One that the tests have started and not ended.
        last = OscClient(spare)
        last.send("/mgrt/quit")
        last.close()
    _, passed, _, failed = line.split()
    assert int(passed) > 20
    assert failed == "0"
    assert not any("ERROR" in text for text in run.printed)
