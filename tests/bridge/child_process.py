"""A child process for the supervisor's tests, which does what the word in its environment says.

`python -m tests.bridge.child_process --pipe-fd N --buffer-fd M`, as the daemon starts its children.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

from musicgen_rt.contract.pipe import Pipe

BEHAVIOUR = "MGRT_TEST_CHILD"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipe-fd", type=int, required=True)
    parser.add_argument("--buffer-fd", type=int, required=True)
    args = parser.parse_args()
    behaviour = os.environ.get(BEHAVIOUR, "good")
    pipe = Pipe.inherited(args.pipe_fd)
    print("WARNING: told on stdout", flush=True)
    print("chatter of a library", flush=True)
    if behaviour == "deaf":  # neither the signal nor the message helps
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "grandchild":
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        pipe.send({"type": "grandchild", "pid": grandchild.pid})
    if behaviour == "hopeless":
        return 78
    if behaviour == "nonsense":
        os.write(args.pipe_fd, b"\xff" * 64)
    pipe.send({"type": "hello", "pid": os.getpid(), "buffer": os.fstat(args.buffer_fd).st_size})
    if behaviour == "crash":
        return 3
    if behaviour == "deaf":
        time.sleep(60)
    for message, _ in pipe.receive():
        if message["type"] == "quit":
            return 0
        pipe.send({"type": "echo", "of": message})
    return 0


if __name__ == "__main__":
    sys.exit(main())
