"""The daemon's sound in Pure Data over a real JACK server, recorded by Pd."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from musicgen_rt.evaluate.jack_server import RATE_HZ, JackServer
from tests.bridge.daemon_rig import DaemonProcess
from tests.bridge.jack_server import jack_server
from tests.bridge.tone_engine import AMPLITUDE, TONE_HZ
from tests.patches.conftest import TONE
from tests.patches.pd_process import DEADLINE_SECONDS, PdProcess
from tests.programs import requires_program

pytestmark = pytest.mark.jack

# Pd opens its audio when its DSP is turned on.
FLAGS = ("-jack", "-nojackconnect", "-inchannels", "2", "-outchannels", "2", "-send", "pd dsp 1")
FULL_SCALE_DB = 100  # of Pd's env~: the dB of an effective value of 1

# mgrt and mgrt-audio~ as on the help pages, into a file.
STUDIO = """#N canvas 0 0 600 400 12;
#X obj 10 10 inlet messages;
#X obj 200 10 inlet record;
#X obj 10 50 mgrt 127.0.0.1 {port};
#X obj 200 50 mgrt-audio~ 1 2;
#X obj 200 150 writesf~ 2;
#X obj 10 200 outlet answers;
#X obj 200 200 outlet dB;
#X connect 0 0 2 0;
#X connect 1 0 4 0;
#X connect 2 1 5 0;
#X connect 3 0 4 0;
#X connect 3 1 4 1;
#X connect 3 2 6 0;
"""


@pytest.fixture
def server() -> Iterator[JackServer]:
    with jack_server() as running:
        yield running


def ports_of(server: JackServer) -> list[str]:
    command = [requires_program("jack_lsp"), "-s", server.name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def connect(server: JackServer, first: str, second: str) -> None:
    """Connect two ports of the server when both are there."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not {first, second} <= set(ports_of(server)):
        assert time.monotonic() < deadline, (first, second, ports_of(server))
        time.sleep(0.05)
    command = [requires_program("jack_connect"), "-s", server.name, first, second]
    subprocess.run(command, check=True, capture_output=True)


def levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The effective value of each tenth of a second of a recording [N, 2], [2, M]."""
    step = RATE_HZ // 10
    whole = samples[: len(samples) // step * step].astype(float)
    values: NDArray[np.float64] = np.sqrt((whole.reshape(-1, step, 2) ** 2).mean(axis=1)).T
    return values


def test_pd_records_the_daemon_and_a_change_of_its_level(
    server: JackServer, tmp_path: Path
) -> None:
    (tmp_path / "pd").mkdir()
    with DaemonProcess(tmp_path, "--output", "jack", env=server.environment, module=TONE) as daemon:
        daemon.until_playing()
        studio = STUDIO.format(port=daemon.ports()["osc"])
        (tmp_path / "pd" / "studio.pd").write_text(studio)
        with PdProcess(
            tmp_path / "pd",
            "studio",
            inlets=("message", "record"),
            outlets=("answer", "level"),
            flags=FLAGS,
            environment=server.environment,
        ) as pd:
            connect(server, "PortAudio:out_0", "pure_data:input_1")
            connect(server, "PortAudio:out_1", "pure_data:input_2")
            expected_db = FULL_SCALE_DB + 20 * np.log10(AMPLITUDE / np.sqrt(2))
            pd.wait(lambda told: told[0] == "level" and abs(float(told[1]) - expected_db) < 0.5)
            pd.say("record open take.wav")
            pd.say("record start")
            for _ in range(20):
                pd.wait_for("level")
            pd.say("message audio/gain_db -12 0")
            pd.wait_for("answer done /mgrt/audio/gain_db")
            pd.wait(lambda told: told[0] == "level" and float(told[1]) < expected_db - 11.5)
            for _ in range(20):
                pd.wait_for("level")
            pd.say("record stop")
            pd.say("message sync 1")
            pd.wait_for("level")
    samples, rate_hz = soundfile.read(tmp_path / "pd" / "take.wav")
    assert rate_hz == RATE_HZ
    heard = levels(samples)
    loud, quiet = AMPLITUDE / np.sqrt(2), AMPLITUDE / np.sqrt(2) * 10 ** (-12 / 20)
    assert heard[:, 0] == pytest.approx([loud] * 2, rel=0.05)
    assert heard[:, -1] == pytest.approx([quiet] * 2, rel=0.05)
    spectrum = np.abs(np.fft.rfft(samples[:RATE_HZ, 0] * np.hanning(RATE_HZ)))
    assert spectrum.argmax() == pytest.approx(TONE_HZ, abs=1)
