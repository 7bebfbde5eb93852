"""The declaration of one setting, and the readers of those that are more than a text or number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from musicgen_rt.errors import ParameterError

OUTPUTS: Final = ("device", "jack", "null", "none")
WAV_PREFIX: Final = "wav:"
MAX_SCENE_COMMANDS: Final = 256
HIGHEST_CONTROLLER: Final = 119


@dataclass(frozen=True)
class Setting:
    """How one setting is read: its words, its range or choices, and its flag if it has one.

    Stands in a field's `Annotated` type; the field has the default. `parse` replaces the usual
    checks and raises ParameterError. A flag that begins with `--no-` turns a setting off.
    """

    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    flag: str | None = None
    metavar: str | None = None
    parse: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class CcBinding:
    """A MIDI controller and the parameter that it moves.

    `target` is a parameter ("temperature") or an address with all of its arguments but the last
    ("prompt/weight 0"). `low` and `high` narrow the parameter's own range; None keeps it.
    """

    controller: int
    target: str
    low: float | None = None
    high: float | None = None


def parse_output(value: Any) -> str:
    """An output: device, jack, null, none or wav:FILE. Raises ParameterError."""
    is_file = isinstance(value, str) and value.startswith(WAV_PREFIX)
    if value in OUTPUTS or (is_file and len(value) > len(WAV_PREFIX)):
        return str(value)
    raise ParameterError(f"{value!r}: expected one of {', '.join(OUTPUTS)}, or wav:FILE")


def parse_controllers(value: Any) -> tuple[CcBinding, ...]:
    """`{74 = "cfg", 1 = {param = "temperature", low = 0.5, high = 1.2}}`. Raises ParameterError."""
    if not isinstance(value, Mapping):
        raise ParameterError(f'{value!r}: expected a table such as {{ 74 = "temperature" }}')
    return tuple(_parse_binding(str(number), target) for number, target in value.items())


def _parse_binding(number: str, target: Any) -> CcBinding:
    if not number.isdecimal() or int(number) > HIGHEST_CONTROLLER:
        raise ParameterError(f"controller {number!r}: expected 0 to {HIGHEST_CONTROLLER}")
    if isinstance(target, str):
        return CcBinding(int(number), target)
    if not isinstance(target, Mapping) or not isinstance(target.get("param"), str):
        raise ParameterError(
            f"controller {number} is {target!r}: expected a parameter's name or "
            '{ param = "temperature", low = 0.5, high = 1.5 }'
        )
    unknown = sorted(set(target) - {"param", "low", "high"})
    if unknown:
        raise ParameterError(
            f"controller {number}: unknown key {unknown[0]!r}: known: param, low, high"
        )
    low, high = (_optional_number(target.get(name), number, name) for name in ("low", "high"))
    return CcBinding(int(number), target["param"], low, high)


def _optional_number(value: Any, number: str, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(f"controller {number}: {name} is {value!r}: expected a number")
    return float(value)


def parse_names(value: Any) -> tuple[str, ...]:
    """A list of texts, or one. Raises ParameterError."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ParameterError(f"{value!r}: expected a list of names")
    return tuple(names)


def parse_commands(value: Any) -> tuple[tuple[Any, ...], ...]:
    """A list of protocol commands, each `["/mgrt/attr/set", "drums", "off"]`.

    The commands themselves are checked by the protocol's table. Raises ParameterError.
    """
    if not isinstance(value, list) or len(value) > MAX_SCENE_COMMANDS:
        raise ParameterError(f"expected a list of at most {MAX_SCENE_COMMANDS} commands")
    for command in value:
        if not isinstance(command, list) or not command or not isinstance(command[0], str):
            raise ParameterError(
                f'{command!r}: expected a command such as ["/mgrt/attr/set", "drums", "off"]'
            )
    return tuple(tuple(command) for command in value)


def parse_parameters(value: Any) -> tuple[tuple[str, float], ...]:
    """`{ cfg = 3 }`; names and ranges are the protocol's. Raises ParameterError."""
    if not isinstance(value, Mapping):
        raise ParameterError(f"{value!r}: expected a table such as {{ cfg = 3 }}")
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ParameterError(f"{name} is {number!r}: expected a number")
    return tuple((str(name), float(number)) for name, number in value.items())


def parse_path(value: Any) -> Path:
    """A file or folder, with ~ for the home. Raises ParameterError."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ParameterError(f"{value!r}: expected a path")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise ParameterError(f"{value!r}: {error}") from error
