"""Pure Data without a window, with a patch under test and a line to it.

Pd speaks FUDI: words ended by a semicolon. The patch written here connects back to a socket of the
test, so that no port has to be guessed; what the test says on it goes into the inlets of the object
under test, and what comes out of its outlets is told, each with the outlet's name before it.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.programs import requires_program

PATCHES: Final = Path(__file__).resolve().parents[2] / "patches" / "pd"
DEADLINE_SECONDS: Final = 60.0

# Pd without sound has no clock of its own but the system's.
SILENT: Final = ("-noaudio",)

_END: Final = re.compile(rb"(?<!\\);")
_WORD: Final = re.compile(r"(?:\\.|[^\s\\])+")
_ESCAPED: Final = re.compile(r"\\(.)")

_RIG: Final = """#N canvas 0 0 600 400 12;
#X obj 10 10 loadbang;
#X msg 10 40 connect 127.0.0.1 {port};
#X obj 10 70 netsend;
#X obj 10 110 route {inlets};
#X obj 10 150 {under_test};
#X obj 10 300 list prepend send;
#X obj 10 330 list trim;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 2 1 3 0;
#X connect 5 0 6 0;
#X connect 6 0 2 0;
"""
_FIRST_FREE: Final = 7


def _rig(port: int, under_test: str, inlets: Sequence[str], outlets: Sequence[str]) -> str:
    lines = [_RIG.format(port=port, inlets=" ".join(inlets), under_test=under_test)]
    lines += [f"#X obj 10 200 list prepend {name};\n" for name in outlets]
    lines += [f"#X connect 3 {n} 4 {n};\n" for n in range(len(inlets))]
    for n in range(len(outlets)):
        lines += [f"#X connect 4 {n} {_FIRST_FREE + n} 0;\n"]
        lines += [f"#X connect {_FIRST_FREE + n} 0 5 0;\n"]
    return "".join(lines)


class PdProcess:
    """One object in one Pd. `printed` is what Pd's console has by now.

    `inlets` and `outlets` name those of the object that are used, from the left.
    """

    def __init__(
        self,
        folder: Path,
        under_test: str,
        *,
        inlets: Sequence[str],
        outlets: Sequence[str],
        flags: Sequence[str] = SILENT,
        environment: dict[str, str] | None = None,
    ) -> None:
        program = requires_program("pd")
        folder.mkdir(parents=True, exist_ok=True)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(DEADLINE_SECONDS)
        rig = folder / "rig.pd"
        rig.write_text(_rig(listener.getsockname()[1], under_test, inlets, outlets))
        self._console = folder / "console.txt"
        command = [program, "-nogui", "-noprefs", "-nomidi", *flags]
        command += ["-path", str(PATCHES), "-open", str(rig)]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, **(environment or {})},
            )
        try:
            self._line, _ = listener.accept()
        except TimeoutError:
            self._process.kill()
            raise AssertionError(f"Pd does not start: {self.printed}") from None
        finally:
            listener.close()
        self._unread = b""
        self.told: list[list[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()

    @property
    def printed(self) -> str:
        return self._console.read_text(errors="replace")

    def say(self, words: str) -> None:
        """Send words to an inlet, whose name comes first."""
        self._line.sendall(f"{words};\n".encode())

    def wait(
        self, accepts: Callable[[list[str]], bool], seconds: float = DEADLINE_SECONDS
    ) -> list[str]:
        """The next words from the outlets that are accepted; all are kept in `told`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            words = self._next(deadline - time.monotonic())
            if words is not None:
                self.told.append(words)
                if accepts(words):
                    return words
        raise AssertionError(f"not in {seconds} s; {self.told[-10:]}; {self.printed[-2000:]}")

    def wait_for(self, words: str, seconds: float = DEADLINE_SECONDS) -> list[str]:
        """The next words from the outlets that begin with these."""
        wanted = words.split()
        return self.wait(lambda told: told[: len(wanted)] == wanted, seconds)

    def wait_for_each(self, *beginnings: str) -> list[list[str]]:
        """Words from the outlets that begin with each of these, in whatever order they come."""
        wanted = [words.split() for words in beginnings]
        found: dict[int, list[str]] = {}

        def completes(told: list[str]) -> bool:
            for index, words in enumerate(wanted):
                if told[: len(words)] == words:
                    found.setdefault(index, told)
            return len(found) == len(wanted)

        self.wait(completes)
        return [found[index] for index in range(len(wanted))]

    def _next(self, seconds: float) -> list[str] | None:
        while (end := _END.search(self._unread)) is None:
            self._line.settimeout(max(0.01, seconds))
            try:
                data = self._line.recv(65536)
            except TimeoutError:
                return None
            assert data, f"Pd has ended: {self.printed}"
            self._unread += data
        line, self._unread = self._unread[: end.start()], self._unread[end.end() :]
        return _words(line.decode().strip())


def _words(line: str) -> list[str]:
    """The words of a line of FUDI: what follows a backslash is part of its word."""
    return [_ESCAPED.sub(r"\1", word) for word in _WORD.findall(line)]


def mgrt(folder: Path, port: int) -> PdProcess:
    """Pd with one mgrt."""
    return PdProcess(
        folder,
        f"mgrt 127.0.0.1 {port}",
        inlets=("message", "note"),
        outlets=("event", "answer", "connected"),
    )
