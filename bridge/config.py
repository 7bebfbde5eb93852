"""The daemon's configuration: a TOML file and flags, read into frozen values.

Each setting is declared once (in `settings.py`), with its range and its words; the reading of the
file, the command line's flags, `--help` and every error text derive from that. An unknown key is an
error that names the nearest known one. Flags win over the file, the file over the defaults.
"""

from __future__ import annotations

import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from bridge.setting import Setting
from bridge.settings import (
    FolderConfig,
    LogConfig,
    MidiConfig,
    ModelConfig,
    NetworkConfig,
    OutputConfig,
    SceneConfig,
    SupervisionConfig,
)
from musicgen_rt.errors import ParameterError

MAX_CONFIG_BYTES: Final = 1 << 20

_TYPE_WORDS: Final = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}


class ConfigError(ParameterError):
    """The configuration file or a flag names something unknown or out of range."""


@dataclass(frozen=True)
class Config:
    """All settings of one daemon."""

    model: ModelConfig = field(default_factory=ModelConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    midi: MidiConfig = field(default_factory=MidiConfig)
    log: LogConfig = field(default_factory=LogConfig)
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    folders: FolderConfig = field(default_factory=FolderConfig)


@dataclass(frozen=True)
class Declared:
    """One setting with its place: section and key, its declaration, its type and its default."""

    section: str
    key: str
    setting: Setting
    kind: type
    default: Any

    @property
    def name(self) -> str:
        """Section and key: "network.osc_port"."""
        return f"{self.section}.{self.key}"

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.setting.choices:
            return "one of " + ", ".join(self.setting.choices)
        words = _TYPE_WORDS.get(self.kind, self.kind.__name__)
        if self.setting.low is None or self.setting.high is None:
            return words
        return f"{words} from {self.setting.low:.15g} to {self.setting.high:.15g}"


def declared_settings() -> Iterator[Declared]:
    """Every setting, in the order of the file."""
    for section, kind in typing.get_type_hints(Config).items():
        defaults = kind()
        for key, hint in typing.get_type_hints(kind, include_extras=True).items():
            value_type, setting = _declaration(hint)
            yield Declared(section, key, setting, value_type, getattr(defaults, key))


def read_config(path: Path | None, flags: Mapping[str, Any]) -> Config:
    """The configuration of a file (None: the defaults) with `flags` on top.

    `flags` maps "section.key" to a value; None means that the flag was not given. Raises
    ConfigError for a file that cannot be read or is no TOML, an unknown section or key, a value of
    the wrong type or out of range.
    """
    file = "" if path is None else f"{path}: "
    tables = {} if path is None else _read_toml(path)
    kinds = typing.get_type_hints(Config)
    _refuse_unknown(tables, kinds, file, "section")
    values: dict[str, dict[str, Any]] = {section: {} for section in kinds}
    settings = list(declared_settings())
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{file}{section} is {table!r}: expected a table [{section}]")
        keys = [one.key for one in settings if one.section == section]
        _refuse_unknown(table, keys, f"{file}[{section}]: ", "key")
    for one in settings:
        flag = flags.get(one.name)
        table = tables.get(one.section, {})
        if flag is not None:
            values[one.section][one.key] = _checked(one, flag, one.setting.flag or one.name)
        elif one.key in table:
            where = f"{file}[{one.section}] {one.key}"
            values[one.section][one.key] = _checked(one, table[one.key], where)
    return Config(**{section: kind(**values[section]) for section, kind in kinds.items()})


def _declaration(hint: Any) -> tuple[type, Setting]:
    """The plain type and the `Setting` of an annotation."""
    assert typing.get_origin(hint) is Annotated
    value_type, setting = typing.get_args(hint)
    if isinstance(value_type, types.UnionType):  # "T | None": TOML has no None, so T
        value_type = typing.get_args(value_type)[0]
    return typing.get_origin(value_type) or value_type, setting


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes: is this the file?")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str, noun: str) -> None:
    names = tuple(known)
    for name in table:
        if name not in names:
            near = _nearest(name, names)
            raise ConfigError(f"{where}unknown {noun} {name!r}{near}; known: {', '.join(names)}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, tuple(names), n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else ""


def _checked(one: Declared, value: Any, where: str) -> Any:
    """The value in the setting's type. Raises ConfigError naming what is allowed."""
    setting = one.setting
    if setting.parse is not None:
        try:
            return setting.parse(value)
        except ParameterError as error:
            raise ConfigError(f"{where}: {error}") from error
    if one.kind is float and type(value) is int:
        value = float(value)
    is_allowed = type(value) is one.kind
    if is_allowed and setting.choices:
        is_allowed = value in setting.choices
    if is_allowed and setting.low is not None and setting.high is not None:
        is_allowed = math.isfinite(value) and setting.low <= value <= setting.high
    if is_allowed and isinstance(value, str):
        is_allowed = value.isprintable()
    if not is_allowed:
        near = _nearest(str(value), setting.choices)
        raise ConfigError(f"{where} is {value!r}: expected {one.allowed}{near}")
    return value
