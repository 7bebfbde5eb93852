"""Play the daemon over ZeroMQ: a prompt, then a phrase, a note a beat. Start either one first."""

import argparse
import json

import zmq

PHRASE = (60, 64, 67, 72, 69, 65, 62, 67)


def send(socket: zmq.Socket[bytes], address: str, *values: object) -> None:
    if socket.poll(0, zmq.POLLOUT):  # what waits for a daemon that is away is for nobody
        socket.send(json.dumps([address, *values]).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", default="jazz trio with brushes")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--commands", default="tcp://127.0.0.1:9121")
    parser.add_argument("--events", default="tcp://127.0.0.1:9122")
    args = parser.parse_args()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    commands, events = context.socket(zmq.DEALER), context.socket(zmq.SUB)
    commands.linger = 500
    commands.connect(args.commands)
    events.subscribe(b"/mgrt/beat")
    events.connect(args.events)
    is_here, beats = False, 0
    while beats < 4 * args.bars:
        if not events.poll(3000):
            print(f"no beats at {args.events}: start the daemon with musicgen-rt jam", flush=True)
            is_here = False
            continue
        _, bar, beat, bpm = json.loads(events.recv_multipart()[-1])
        if not is_here:  # it has been started, or started again
            send(commands, "/mgrt/prompt/set", 0, args.prompt)
            send(commands, "/mgrt/melody/mode", "follow")
        send(commands, "/mgrt/melody/note_off", PHRASE[(beats - 1) % len(PHRASE)], "beat")
        send(commands, "/mgrt/melody/note_on", PHRASE[beats % len(PHRASE)], 100, "beat")
        print(f"bar {bar} beat {beat} at {bpm:g} BPM", flush=True)
        is_here, beats = True, beats + 1
        while commands.poll(0):
            print(*json.loads(commands.recv()), flush=True)
    send(commands, "/mgrt/melody/mode", "off")


if __name__ == "__main__":
    main()
