"""TOML files read into frozen dataclasses: an unknown key or a wrong type is an error."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from musicgen_rt.errors import ParameterError

T = TypeVar("T")


def read_config(path: Path, config_type: type[T]) -> T:
    """Reads a TOML file into `config_type`, a frozen dataclass whose fields may be dataclasses.

    Raises ParameterError for a file that is missing or not TOML, an unknown key, a missing
    key without a default, a value of the wrong type and whatever `__post_init__` refuses.
    """
    return build_config(read_toml(path), config_type)


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises ParameterError for one that is missing or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"cannot read the configuration {path}: {error}") from error
    except ValueError as error:  # of the TOML, or of its UTF-8
        raise ParameterError(f"{path} is not valid TOML: {error}") from error


def build_config(table: dict[str, Any], config_type: type[T], where: str = "") -> T:
    """Builds `config_type` from nested tables; `where` is the prefix that errors print."""
    hints = typing.get_type_hints(config_type)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, config_type))}
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise ParameterError(
            f"unknown key {where}{unknown[0]}; allowed: {', '.join(sorted(fields))}"
        )
    missing = sorted(name for name, field in fields.items() if _needs(field) and name not in table)
    if missing:
        raise ParameterError(f"the key {where}{missing[0]} is missing and has no default")
    values = {name: _convert(value, hints[name], where + name) for name, value in table.items()}
    return config_type(**values)


def config_table(config: object) -> dict[str, Any]:
    """The nested plain table of a configuration, as JSON and `build_config` take it."""
    return dataclasses.asdict(typing.cast(Any, config))


def require_range(name: str, value: float, low: float, high: float) -> None:
    """Raises ParameterError unless low <= value <= high."""
    if not low <= value <= high:
        raise ParameterError(f"{name} is {value}; allowed: {low} to {high}")


def _needs(field: dataclasses.Field[Any]) -> bool:
    no_value = field.default is dataclasses.MISSING
    return no_value and field.default_factory is dataclasses.MISSING


def _convert(value: Any, hint: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ParameterError(f"{where} is {value!r}; expected a table [{where}]")
        return build_config(value, typing.cast(type, hint), where + ".")
    if typing.get_origin(hint) is tuple:
        return _convert_tuple(value, typing.get_args(hint), where)
    if isinstance(hint, types.UnionType):
        return _convert_union(value, typing.get_args(hint), where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ParameterError(f"{where} is {value!r}; expected {hint.__name__}")
    return value


def _convert_tuple(value: Any, items: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ParameterError(f"{where} is {value!r}; expected a list")
    if items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise ParameterError(f"{where} has {len(value)} values; expected {len(items)}")
    return tuple(
        _convert(item, hint, f"{where}[{index}]")
        for index, (item, hint) in enumerate(zip(value, items, strict=True))
    )


def _convert_union(value: Any, hints: tuple[Any, ...], where: str) -> Any:
    if value is None and types.NoneType in hints:
        return None
    for hint in hints:
        if hint is types.NoneType:
            continue
        try:
            return _convert(value, hint, where)
        except ParameterError:
            continue
    names = " or ".join(getattr(hint, "__name__", str(hint)) for hint in hints)
    raise ParameterError(f"{where} is {value!r}; expected {names}")
