"""The daemon's sound in SuperCollider's server, over a real JACK server."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest

from tests.bridge.daemon_rig import DaemonProcess, free_ports
from tests.bridge.jack_server import jack_server
from tests.bridge.tone_engine import AMPLITUDE
from tests.patches.conftest import TONE
from tests.patches.sclang import sclang
from tests.programs import requires_program

pytestmark = [pytest.mark.jack, pytest.mark.timeout(300)]
START_SECONDS = 120.0

# A server of its own: the default one has a port that another may hold. The level is the effective
# one over whole periods of the tone; a follower of peaks ripples with it, and five looks a second
# all find the same place of the ripple.
METER = """
Server.default = s = Server(\\meter, NetAddr("127.0.0.1", "METER_PORT".getenv.asInteger));
s.options.numInputBusChannels = 2;
s.waitForBoot {
    OSCFunc({ |msg| ("level" + msg[3]).postln }, '/level');
    {
        var level = RunningSum.rms(MusicGenRT.ar(0)[0], 0.1 * SampleRate.ir);
        SendReply.kr(Impulse.kr(5), '/level', A2K.kr(level));
    }.play;
};
"""


def test_a_synth_hears_the_daemon_and_a_change_of_its_level(tmp_path: Path) -> None:
    requires_program("scsynth")
    program = tmp_path / "meter.scd"
    program.write_text(METER)
    with (
        jack_server() as server,
        DaemonProcess(tmp_path, "--output", "jack", env=server.environment, module=TONE) as daemon,
    ):
        daemon.until_playing()
        environment = {
            **server.environment,
            "SC_JACK_DEFAULT_INPUTS": "PortAudio",
            "METER_PORT": str(free_ports()[0]),
        }
        with sclang(tmp_path, program, **environment) as language:

            def wait_for_level(expected: float) -> None:
                level = 0.0
                while level != pytest.approx(expected, rel=0.1):
                    level = float(language.wait_for("level ", START_SECONDS).split()[1])

            wait_for_level(AMPLITUDE / sqrt(2))
            assert daemon.client.ask("/mgrt/audio/gain_db", -12.0, 0)[0] == "/done"
            wait_for_level(AMPLITUDE / sqrt(2) * 10 ** (-12 / 20))
