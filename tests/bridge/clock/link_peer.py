"""Another peer of a Link session, in a process of its own: LinkPython-extern, nothing of ours.

Run as `python link_peer.py`. It obeys lines on its input ("tempo 90", "start", "stop", "beat") and
answers each with one of JSON: its tempo, its beat at a moment of the system's raw monotonic clock,
whether it plays, and how many peers it sees.
"""

from __future__ import annotations

import json
import sys

import link

QUANTUM = 4.0


def main() -> None:
    """Obey until the input ends."""
    peer = link.Link(120.0)
    peer.startStopSyncEnabled = True
    peer.enabled = True
    for line in sys.stdin:
        word, *values = line.split()
        micros = peer.clock().micros()
        state = peer.captureSessionState()
        if word == "tempo":
            state.setTempo(float(values[0]), micros)
        elif word in ("start", "stop"):
            state.setIsPlaying(word == "start", micros)
        elif word == "force":
            state.forceBeatAtTime(float(values[0]), micros, QUANTUM)
        peer.commitSessionState(state)
        state = peer.captureSessionState()
        print(
            json.dumps(
                {
                    "bpm": state.tempo(),
                    "micros": micros,
                    "beat": state.beatAtTime(micros, QUANTUM),
                    "phase": state.phaseAtTime(micros, QUANTUM),
                    "is_playing": state.isPlaying(),
                    "peers": peer.numPeers(),
                }
            ),
            flush=True,
        )
    peer.enabled = False


if __name__ == "__main__":
    main()
