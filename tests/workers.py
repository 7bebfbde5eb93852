"""How pytest-xdist's workers share the tests: `pytest -n auto`, as `make test` does.

One worker runs what happens in real time, one test after another, and has the right of way; the
others run everything else on what it leaves of the processors, most of which it spends waiting.
"""

from __future__ import annotations

import os
from typing import Final

from xdist.scheduler import LoadScopeScheduling

from tests.real_time import ROOT, is_real_time

# More would need more memory than a machine of so many processors is sure to have.
_MOST_WORKERS: Final = 8
# A tenth of the time beside a program that takes all it can get; nothing where that is idle.
_NICENESS: Final = 10


def worker_count() -> int:
    """One for each processor, and one that mostly waits."""
    return min((os.cpu_count() or 1) + 1, _MOST_WORKERS)


def become_worker() -> None:
    """What must be before a library starts its threads: more than one would be in the way."""
    if is_worker():
        os.environ["OMP_NUM_THREADS"] = "1"


def is_worker() -> bool:
    """Whether this process shares the tests with others."""
    return "PYTEST_XDIST_WORKER" in os.environ


def step_back() -> None:
    """From now on let what runs in real time go first."""
    if is_worker():
        now = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(now, _NICENESS))


class Scheduling(LoadScopeScheduling):
    """A file is run by one worker, and so are all tests in real time.

    The largest share is given out first, which is that of the tests in real time.
    """

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.partition("::")[0]
        return "" if is_real_time(ROOT / name) else name
