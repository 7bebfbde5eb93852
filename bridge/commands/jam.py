"""`musicgen-rt jam`: start the daemon, and play."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bridge.config import ConfigError, Declared, declared_settings, read_config

HELP = "start the live daemon and play: prompts, MIDI and OSC in, music out"

MISUSED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags: one for each setting that has one."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of settings")
    parser.add_argument(
        "--settings", action="store_true", help="print such a file, with all defaults, and end"
    )
    for declared in declared_settings():
        if declared.setting.flag is not None:
            _add_flag(parser, declared, declared.setting.flag)


def run(args: argparse.Namespace) -> int:
    """Run the daemon until it is asked to end."""
    if args.settings:
        from bridge.config_text import settings_toml

        print(settings_toml(), end="")
        return 0
    flags = {name: value for name, value in vars(args).items() if "." in name}
    try:
        config = read_config(args.config, flags)
    except ConfigError as error:
        print(f"musicgen-rt: error: {error}", file=sys.stderr)
        return MISUSED
    from bridge.daemon import run_daemon

    return run_daemon(config)


def _add_flag(parser: argparse.ArgumentParser, declared: Declared, flag: str) -> None:
    setting = declared.setting
    if declared.kind is bool:
        turns_off = flag.startswith("--no-")
        doc = f"do not {setting.doc}" if turns_off else setting.doc
        parser.add_argument(
            flag, dest=declared.name, action="store_const", const=not turns_off, help=doc
        )
        return
    default = f" (default {declared.default})" if declared.default not in ("", None) else ""
    is_number = declared.kind in (int, float)
    metavar = setting.metavar or ("N" if is_number else "|".join(setting.choices) or "TEXT")
    parser.add_argument(
        flag,
        dest=declared.name,
        type=declared.kind if is_number else str,
        metavar=metavar,
        help=f"{setting.doc}{default}".replace("%", "%%"),
    )
