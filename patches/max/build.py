"""Write the Max patches and the Max for Live device: python patches/max/build.py

The files are kept in the repository, so that a musician needs no Python.
"""

from __future__ import annotations

from pathlib import Path

from client import client, demo, help_page
from device import container, device

HERE = Path(__file__).resolve().parent


def files() -> dict[Path, bytes]:
    """What is to be written, by its path from the folder of patches."""
    return {
        Path("max/mgrt.maxpat"): client().text().encode(),
        Path("max/mgrt.maxhelp"): help_page().text().encode(),
        Path("max/mgrt-demo.maxpat"): demo().text().encode(),
        Path("live/mgrt.amxd"): container(device()),
    }


def main() -> None:
    for path, data in files().items():
        (HERE.parent / path).write_bytes(data)
        print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
