"""The rules of the source tree: import arrows, light imports, small files, no traces of a machine.

The arrows themselves are import-linter's contracts in pyproject.toml. Here they are run, and each
is shown to break when it should.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bridge", "musicgen_rt")
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50

MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = ("encodec", "torch", "torchaudio", "transformers")

# A file that must not be, what it would hold, and the contract that must say so.
BAD_IMPORTS = [
    ("bridge/bad.py", "import musicgen_rt.live.engine", "bridge"),
    ("bridge/bad.py", "from musicgen_rt import model", "bridge"),
    ("bridge/bad.py", "def f(): import torch", "light"),
    ("musicgen_rt/model/bad.py", "import bridge", "engine"),
    ("musicgen_rt/model/bad.py", "from musicgen_rt.live import engine", "layers"),
    ("musicgen_rt/live/bad.py", "import musicgen_rt.offline.audio_file", "layers"),
    ("musicgen_rt/live/bad.py", "import musicgen_rt.commands", "layers"),
    ("musicgen_rt/contract/bad.py", "import musicgen_rt.model.config", "layers"),
    ("musicgen_rt/contract/bad.py", "import scipy", "contract"),
    ("musicgen_rt/contract/bad.py", "import torch", "contract"),
    ("musicgen_rt/newcomer.py", "", "layers"),
]


def _lint_imports(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # Beside the interpreter, since the environment need not be activated.
    program = Path(sys.executable).parent / "lint-imports"
    command = [str(program), "--no-logo", "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources and the contracts, to be spoilt."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        for module in (ROOT / package).rglob("*.py"):
            copy = folder / module.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, copy)
    return folder


def test_the_import_contracts_are_kept() -> None:
    result = _lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("file", "code", "contract"), BAD_IMPORTS)
def test_a_contract_breaks(copied_tree: Path, file: str, code: str, contract: str) -> None:
    bad = copied_tree / file
    assert not bad.exists()
    bad.write_text(f'"""Bad."""\n\n{code}\n', encoding="utf-8")
    try:
        result = _lint_imports(copied_tree, "--contract", contract)
    finally:
        bad.unlink()
    assert result.returncode == 1, result.stdout + result.stderr
    assert "0 kept, 1 broken" in result.stdout
    assert bad.stem in result.stdout


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("bridge", HEAVY),
        ("musicgen_rt/commands", HEAVY),
        ("musicgen_rt/contract", (*HEAVY, "scipy")),
    ],
)
def test_importing_it_loads_no_heavy_library(folder: str, forbidden: tuple[str, ...]) -> None:
    """The command line answers at once, and the bridge lives without the model's libraries."""
    files = sorted((ROOT / folder).rglob("*.py"))
    modules = [_dotted(path) for path in files if path.name != "__main__.py"]
    assert modules
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules!r}]; "
        f"print(*(name for name in {forbidden!r} if name in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_a_module_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES, "divide it: one noun a file"
    tree = ast.parse(text)
    if path.name != "__init__.py" or tree.body:
        assert ast.get_docstring(tree), "it has no docstring"
    for function in _functions(tree):
        assert _lines(function) <= MAX_FUNCTION_LINES, f"{function.name} is too long"


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


# Folders of one machine or one person.
MACHINE_PATH = re.compile(
    r"(?<![\w.~$}/-])/(?:(?:work|root|farm|mnt)\b|(?:home|Users|tmp|opt)/[a-z])"
)
TEXT_SUFFIXES = {"", ".cff", ".cfg", ".ini", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yml"}


def _tracked_files() -> list[Path]:
    """What is or will be in the repository; outside of one, all but hidden and made folders."""
    git = shutil.which("git")
    if git is not None and (ROOT / ".git").exists():
        command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    made = {"out", "runs", "build", "dist"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(
            part in made or (part.startswith(".") and part != ".ci") or part.endswith(".egg-info")
            for part in path.relative_to(ROOT).parts[:-1]
        )
    ]


def test_no_file_names_a_folder_of_one_machine() -> None:
    files = [path for path in _tracked_files() if path.suffix in TEXT_SUFFIXES]
    assert ROOT / "pyproject.toml" in files
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    # Joined, so that this file itself has none.
    "line",
    ["at /" + "work/main", "'/" + "root/.cache'", "open(/" + "home/ann/x)", "/" + "tmp/a"],
)
def test_a_folder_of_one_machine_is_recognised(line: str) -> None:
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize("line", ["/mgrt/status", "docs/work/x", "~/music", "a/tmp/b", "x/root"])
def test_other_paths_are_not_mistaken_for_one(line: str) -> None:
    assert not MACHINE_PATH.search(line)
