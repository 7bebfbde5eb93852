"""A misbehaving child of a clock: `deaf` never reads, `dying` ends, `raving` talks rubbish."""

from __future__ import annotations

import json
import sys
import time


def main(kind: str) -> None:
    if kind == "raving":
        print("not json\n[1, 2]\n" + "x" * 10_000)
    print(json.dumps({"type": "news", "kind": kind}), flush=True)
    while kind != "dying":
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
