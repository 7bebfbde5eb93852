"""Which tests run in real time, so that they run one after another: it is read from their imports.

A test is one of them if its module, or a module of `tests` that it imports, starts a program that
runs beside it: a daemon, a sound server, a clock, a browser. Nobody has to remember a marker.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MARKER: Final = "real_time"

# What starts a program, by the last part of the name that is called.
STARTERS: Final = {"ClockChild", "JackServer", "Popen", "Supervisor", "launch"}


@cache
def is_real_time(module: Path) -> bool:
    """Whether a module's tests start programs that run beside them."""
    found: set[Path] = set()
    waiting = [module.resolve()]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += _imports(one)
    return any(_starts(one) for one in found)


@cache
def _starts(module: Path) -> bool:
    calls = (node.func for node in ast.walk(_tree(module)) if isinstance(node, ast.Call))
    return any(_last_name(function) in STARTERS for function in calls)


@cache
def _imports(module: Path) -> tuple[Path, ...]:
    """The modules of `tests` that one imports, and the conftest.py whose fixtures it may use."""
    names = (name for node in ast.walk(_tree(module)) for name in _imported(node))
    paths = [ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in names]
    return tuple(path for path in (*paths, module.with_name("conftest.py")) if path.is_file())


def _imported(node: ast.AST) -> Iterator[str]:
    """What a statement may import from `tests`: modules, or names of one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.startswith("tests."))
    elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tests":
        yield str(node.module)
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _last_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


@cache
def _tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))
