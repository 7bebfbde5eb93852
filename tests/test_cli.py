"""The musicgen-rt command: quick without torch, honest exit codes, nothing left behind."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge import cli

HEAVY = ("torch", "transformers", "musicgen_rt.model.musicgen", "musicgen_rt.live.engine")


class Trial:
    """A command whose behaviour a test decides."""

    HELP = "fail on purpose"

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--number", type=int, default=7)

    def run(self, args: argparse.Namespace) -> int:
        if self._error is not None:
            raise self._error
        print(args.number)
        return 3


def start(arguments: Sequence[object], folder: Path) -> subprocess.Popen[str]:
    # A suite that was started in the background ignores SIGINT, and a child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-m", "bridge", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def use(monkeypatch: pytest.MonkeyPatch, **commands: Trial) -> None:
    monkeypatch.setattr(cli, "find_commands", lambda: commands)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["render", "--help"], ["bench", "--help"]]
)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bridge.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    code = end.code\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded [] 0"
    assert done.stderr == ""
    assert "musicgen-rt" in done.stdout


def test_a_slip_is_told_without_loading_torch() -> None:
    code = (
        "import sys\nfrom bridge.cli import main\n"
        "code = main('render --model x --prompt y --seconds -1 --out a.wav'.split())\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] 2\n"
    assert done.stderr == "musicgen-rt: error: seconds is -1.0: expected 0.001 to 86400\n"


def test_commands_are_found_by_their_entry_points(capsys: pytest.CaptureFixture[str]) -> None:
    commands = cli.find_commands()
    assert {"bench", "new-checkpoint", "render"} <= set(commands)
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for name, command in commands.items():
        assert name in shown
        assert command.HELP.split()[0] in shown


def test_a_command_that_cannot_be_imported_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        name, value = "broken", "nowhere"

        def load(self) -> None:
            raise ImportError("no module named nowhere")

    class Whole:
        name, value = "whole", "somewhere"

        def load(self) -> Trial:
            return Trial()

    monkeypatch.setattr(cli, "entry_points", lambda group: [Whole(), Broken()])
    assert list(cli.find_commands()) == ["whole"]
    assert "broken (nowhere) cannot be loaded: no module named" in capsys.readouterr().err


def test_exit_code_and_arguments_are_the_commands_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, trial=Trial())
    assert cli.main(["trial", "--number", "8"]) == 3
    assert capsys.readouterr().out == "8\n"


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["trial", "--nonsense"], ["--num"]])
def test_a_wrong_command_line_is_2(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    use(monkeypatch, trial=Trial())
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "shows_traceback"),
    [(["trial"], False), (["--debug", "trial"], True), (["trial", "--debug"], True)],
)
def test_unexpected_errors(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    shows_traceback: bool,
) -> None:
    use(monkeypatch, trial=Trial(RuntimeError("first\nsecond")))
    assert cli.main(arguments) == 70
    shown = capsys.readouterr().err
    assert ("Traceback" in shown) is shows_traceback
    if not shows_traceback:
        assert shown == "musicgen-rt: unexpected RuntimeError: first (--debug shows where)\n"


def test_interruption_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, trial=Trial(KeyboardInterrupt()))
    assert cli.main(["trial"]) == 130
    assert capsys.readouterr().err == "musicgen-rt: interrupted\n"


def test_signal_handlers_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    use(monkeypatch, trial=Trial())
    cli.main(["trial"])
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bridge import cli\n"
        "class Talker:\n"
        "    HELP = 'talk'\n"
        "    def add_arguments(self, parser): pass\n"
        "    def run(self, args):\n"
        "        for number in range(100000): print(number)\n"
        "        return 0\n"
        "cli.find_commands = lambda: {'talk': Talker()}\n"
        "sys.exit(cli.main(['talk']))\n"
    )
    talking = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert talking.stdout is not None and talking.stderr is not None
    assert talking.stdout.readline() == "0\n"
    talking.stdout.close()
    assert talking.stderr.read() == ""
    assert talking.wait() == 141


def test_being_ended_unwinds_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Working(Trial):
        def run(self, args: argparse.Namespace) -> int:
            left = tmp_path / "partial"
            left.touch()
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                left.unlink()
            return 0

    use(monkeypatch, work=Working())
    with pytest.raises(SystemExit) as end:
        cli.main(["work"])
    assert end.value.code == 143
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_render_leaves_no_file(tmp_path: Path, tiny_text: Path) -> None:
    (tmp_path / "take.wav").write_text("an older take")
    arguments = ["render", "--model", tiny_text, "--prompt", "x", "--seconds", "36000"]
    rendering = start([*arguments, "--out", "take.wav", "--tokens", "take.npy"], tmp_path)
    assert rendering.stderr is not None
    lines = iter(rendering.stderr.readline, "")
    assert any(line.startswith("rendering: 0.0 of 36000.0 s") for line in lines)
    assert len(list(tmp_path.iterdir())) > 1
    rendering.send_signal(signal.SIGINT)
    rendering.communicate()
    assert rendering.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["take.wav"]
    assert (tmp_path / "take.wav").read_text() == "an older take"
