"""All settings as a TOML file with words, ranges and defaults: `musicgen-rt jam --settings`."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from bridge.config import Declared, declared_settings


def settings_toml() -> str:
    """The file; every setting is commented out, so that it changes nothing as it is."""
    lines = ["# Settings of `musicgen-rt jam --config FILE`. What is commented out is the default."]
    for section, settings in groupby(declared_settings(), key=lambda one: one.section):
        lines += ["", f"[{section}]"]
        for one in settings:
            lines.append(f"# {_words(one)}")
            lines.append(f"# {one.key} = {_value(one.default)}")
    return "\n".join(lines) + "\n"


def _words(one: Declared) -> str:
    flag = f" ({one.setting.flag})" if one.setting.flag else ""
    is_free = one.setting.parse is not None or one.kind in (str, bool)
    if is_free and not one.setting.choices:
        return f"{one.setting.doc}{flag}"
    return f"{one.setting.doc}: {one.allowed}{flag}"


def _value(default: Any) -> str:
    """A default in TOML, which has no word for none: nothing stands for it."""
    if default is None:
        return "..."
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int | float):
        return repr(default)
    if isinstance(default, tuple):
        return json.dumps(list(default)) if default else "..."
    if isinstance(default, Path):
        default = str(default)
    # A text of JSON is one of TOML too.
    return json.dumps(default, ensure_ascii=False)
