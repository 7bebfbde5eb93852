"""Tests in real time are found by what they import, and stay together when tests are shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import workers
from tests.real_time import MARKER, ROOT, is_real_time

TESTS = ROOT / "tests"


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.Popen(['jackd'])",
        "def test() -> None:\n    with JackServer() as server:\n        pass",
        "from tests.bridge.daemon_rig import DaemonProcess",
        "from tests.bridge import daemon_rig",
        "import tests.patches.browser",
        # It imports what starts a server.
        "from tests.bridge.playout.child import Playout",
    ],
)
def test_what_starts_a_program_beside_it_runs_in_real_time(tmp_path: Path, code: str) -> None:
    module = tmp_path / "test_new.py"
    module.write_text(code)
    assert is_real_time(module)


def test_so_does_what_may_use_a_fixture_that_does(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.bridge.jack_server import jack_server")
    module = tmp_path / "test_new.py"
    module.write_text("def test(server: object) -> None: ...")
    assert is_real_time(module)


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.run(['true'])",
        "from tests.bridge.control.live_servers import LiveServers",
        "'''Popen(JackServer())'''",
    ],
)
def test_what_waits_for_its_programs_does_not(tmp_path: Path, code: str) -> None:
    module = tmp_path / "test_new.py"
    module.write_text(code)
    assert not is_real_time(module)


def test_every_test_is_marked_as_it_is(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    assert all(
        (item.get_closest_marker(MARKER) is not None) == is_real_time(item.path) for item in items
    )


def test_tests_in_real_time_are_one_share_and_other_files_one_each() -> None:
    share_of = workers.Scheduling.__new__(workers.Scheduling)._split_scope
    together = ("faults/test_f41_sigterm.py::test_a", "bridge/test_daemon.py::test_b[x::y]")
    apart = ("contract/test_timeline.py::test_a[1]", "model/test_lm.py::test_b")
    assert len({share_of(f"tests/{name}") for name in together}) == 1
    assert len({share_of(f"tests/{name}") for name in (*together, *apart)}) == 3
    assert share_of(f"tests/{apart[0]}") == share_of("tests/contract/test_timeline.py::test_other")


def test_somebody_is_left_for_everything_else() -> None:
    assert 2 <= workers.worker_count() <= 8
