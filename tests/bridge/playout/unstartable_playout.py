"""The playout on a machine whose only sound card opens, but cannot be started."""

from __future__ import annotations

import os
import sys

from bridge.playout.process import main
from tests.bridge.playout.portaudio_twin import PortAudioTwin

CARD = "Broken"

if __name__ == "__main__":
    portaudio = PortAudioTwin(CARD)
    portaudio.refused.add(CARD)
    portaudio.install()
    code = main()
    sys.stderr.flush()
    os._exit(code)  # as the playout itself does
