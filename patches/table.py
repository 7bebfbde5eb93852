"""Write docs/hosts.md from hosts.toml: python patches/table.py"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "hosts.md"

HEAD = """\
# Hosts

What there is for the programs that musicians use, in [`patches/`](../patches). Written by
`patches/table.py` from `patches/hosts.toml`; change that, not this page.

| host | can | tested |
|---|---|---|
"""

HOW = {
    "in the host": "**in {name}** {version}, against a daemon",
    "in its engine": "**in {name}'s engine** {version} without its window, against a daemon",
    "where installed": "in {name} {version}, where it is installed, against a daemon",
    "stand-in": "with a stand-in for {name}, not in it (written for {version})",
    "structure": "the files alone, not in {name} (written for {version})",
}

FOOT = """
All speak [the protocol](protocol.md). A program that can send OSC needs no more than that: send
`/mgrt/prompt/set 0 "dub techno"` to port 9120.

Tests that run a host need it installed: `pd`, `sclang`, `scsynth`, `node`, `chromium`, `lua5.4`,
`ardour7-lua`, `jackd`, and for Node.js over ZeroMQ `npm ci` in `patches/node`. Where one is missing
they are skipped, and reported. A test looks up every address in `patches/` in the protocol's table.

[`test_hear.py`](../tests/patches/test_hear.py) has five of them start the daemon's default scene
with the model that ships, change its prompt, play a phrase and record it. Bars are heard twice,
without the change and with it: they are the same up to the announced beat, and differ from there
on. The notes of the phrase are heard, and all of it is in the recording.
"""


PICTURES = """
## At work

Each connected to a daemon that plays.
"""


def page() -> str:
    """The whole page."""
    hosts = tomllib.loads((HERE / "hosts.toml").read_text(encoding="utf-8"))["host"]
    pictures = "".join(_picture(host) for host in hosts if "picture" in host)
    return HEAD + "".join(_row(host) for host in hosts) + FOOT + PICTURES + pictures


def _row(host: dict[str, Any]) -> str:
    tests = ", ".join(f"[{name}](../tests/patches/{name})" for name in host["tests"])
    how = HOW[host["tested"]].format(**host)
    link = f"[{host['name']}](../patches/{host['folder']}/README.md)"
    return f"| {link} | {', '.join(host['can'])} | {how}: {tests} |\n"


def _picture(host: dict[str, Any]) -> str:
    name = host["name"]
    return f"\n{name}:\n\n![{name}](../patches/{host['folder']}/{host['picture']})\n"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.name)


if __name__ == "__main__":
    main()
