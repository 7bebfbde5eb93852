"""Play the daemon over ZeroMQ: set a prompt, then play a phrase, a note a beat, and show the bars.

    python client.py [--prompt TEXT] [--bars N]

Start the daemon before or after it, and again as often as you like: it goes on.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import zmq

PHRASE = (60, 64, 67, 72, 69, 65, 62, 67)


def main() -> None:
    parser = argparse.ArgumentParser(description="Play the daemon over ZeroMQ.")
    parser.add_argument("--prompt", default="jazz trio with brushes")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--commands", default="tcp://127.0.0.1:9121")
    parser.add_argument("--events", default="tcp://127.0.0.1:9122")
    args = parser.parse_args()
    commands: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    commands.connect(args.commands)
    events: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    events.subscribe(b"/mgrt/beat")
    events.connect(args.events)
    commands.linger, events.linger = 500, 0
    is_here, beats = False, 0
    while beats < 4 * args.bars:
        if not events.poll(3000):
            print(f"no beats at {args.events}: start the daemon with musicgen-rt jam", flush=True)
            is_here = False
            continue
        _, bar, beat, bpm = json.loads(events.recv_multipart()[-1])
        if not is_here:  # it has been started, or started again
            is_here = True
            send(commands, "/mgrt/prompt/set", 0, args.prompt)
            send(commands, "/mgrt/melody/mode", "follow")
        send(commands, "/mgrt/melody/note_off", PHRASE[(beats - 1) % len(PHRASE)], "beat")
        send(commands, "/mgrt/melody/note_on", PHRASE[beats % len(PHRASE)], 100, "beat")
        beats += 1
        print(f"bar {bar} beat {beat} at {bpm:g} BPM", flush=True)
        while commands.poll(0):
            answer = json.loads(commands.recv())
            if answer[0] == "/fail" or answer[1] == "/mgrt/prompt/set":
                print(*answer, flush=True)
    send(commands, "/mgrt/melody/mode", "off")


def send(socket: zmq.Socket[bytes], address: str, *values: Any) -> None:
    """One command; what waits for a daemon that is away is for nobody."""
    if socket.poll(0, zmq.POLLOUT):
        socket.send(json.dumps([address, *values]).encode())


if __name__ == "__main__":
    main()
