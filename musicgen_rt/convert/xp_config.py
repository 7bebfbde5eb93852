"""The configuration inside an audiocraft file: YAML text in which values may refer to others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.json_section import JsonSection

KEY = "xp.cfg"

_MAX_CHARACTERS = 1_000_000
_MAX_REFERENCES = 16
# OmegaConf's form of a reference to another value, by its path from the top.
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class XpConfig:
    """A parsed `xp.cfg`. `where` names its file in errors."""

    where: str
    values: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str | None, where: str) -> XpConfig:
        """Raises CheckpointError if there is none, or it is not the YAML of an object."""
        if text is None:
            raise CheckpointError(
                f"{where}: it has no {KEY}, which says what the model is: expected a file that "
                "audiocraft.utils.export wrote"
            )
        if len(text) > _MAX_CHARACTERS:
            raise CheckpointError(
                f"{where}: {KEY} has {len(text)} characters, expected at most {_MAX_CHARACTERS}"
            )
        try:
            values = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise CheckpointError(f"{where}: {KEY} is not YAML ({error})") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{where}: {KEY} is a {type(values).__name__}, expected a table")
        return cls(where, values)

    def section(self, path: str) -> JsonSection:
        """The table at a path such as `codebooks_pattern.delay`, references resolved one level in.

        An absent table is empty. Raises CheckpointError for anything but a table.
        """
        table = self.value(path)
        if table is None:
            table = {}
        if not isinstance(table, Mapping):
            raise CheckpointError(f"{self.where}: {KEY}: {path} is {table!r}, expected a table")
        resolved = {str(key): self._resolved(value) for key, value in table.items()}
        return JsonSection(f"{self.where}: {KEY}: {path}", resolved)

    @property
    def top(self) -> JsonSection:
        """The values that are in no table."""
        plain = {
            str(key): self._resolved(value)
            for key, value in self.values.items()
            if not isinstance(value, Mapping)
        }
        return JsonSection(f"{self.where}: {KEY}", plain)

    def value(self, path: str) -> Any:
        """The value at a path, None if there is none."""
        value: Any = self.values
        for part in path.split("."):
            if not isinstance(value, Mapping):
                return None
            value = self._resolved(value.get(part))
        return value

    def _resolved(self, value: Any) -> Any:
        """What a reference stands for; one that leads nowhere or in a circle stays as it is."""
        found = value
        for _ in range(_MAX_REFERENCES):
            match = _REFERENCE.fullmatch(found) if isinstance(found, str) else None
            if match is None:
                return found
            found = self._raw(match[1])
        return value

    def _raw(self, path: str) -> Any:
        value: Any = self.values
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def refuse_unknown(section: JsonSection, known: Collection[str]) -> None:
    """Raise CheckpointError for a field that is not known, unless it is switched off.

    What is switched off does nothing, whatever it was called in some release.
    """
    for key, value in section.values.items():
        if key not in known and value:
            raise section.fail(key, value, "only fields that are known, or this one switched off")


def require(section: JsonSection, key: str, default: Any, needed: Any) -> None:
    """Raise CheckpointError unless a value, or its default, is the one that is supported."""
    value = section.values.get(key, default)
    if value != needed or isinstance(value, bool) != isinstance(needed, bool):
        raise section.fail(key, value, f"{needed!r}: nothing else is supported")
