"""MIDI clock out through a port that sends at once: each tick waits for its moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bridge.clock.child import ClockChild
from bridge.clock.midi import MidiFeed, MidiSource
from bridge.clock.midi_out_process import ClockSender
from bridge.midi_backend import MidiError, RtMidiBackend, open_output
from musicgen_rt.evaluate.jack_server import JackServer
from tests.bridge.clock.midi_out_jitter import RecordingOutput, lead_message_at, send_for
from tests.bridge.jack_server import jack_server

DEADLINE_SECONDS = 60.0
CLOCK, START, STOP = 0xF8, 0xFA, 0xFC


class Looks(threading.Event):
    """A clock on which each look at it takes 20 microseconds, and waiting as long as is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 10**12

    def __call__(self) -> int:
        self.now_ns += 20_000
        return self.now_ns

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now_ns += round(timeout * 1e9)
        return self.is_set()


@pytest.mark.parametrize("bpm", [60.0, 150.0, 999.0])
def test_each_tick_leaves_once_and_at_its_moment(bpm: float) -> None:
    clock = Looks()
    output = send_for(bpm, 60, clock, clock)
    places = np.array([at_ns - output.begin_ns for at_ns, _ in output.sent]) / output.period_ns
    numbers = np.floor(places + 1e-6)
    assert np.all(np.diff(numbers) == 1)
    late_ns = (places - numbers) * output.period_ns
    assert late_ns.max() < 100_000, "a few looks later"


def test_start_comes_before_the_tick_of_the_bar_line_and_a_stop_when_nothing_plays() -> None:
    output = RecordingOutput(bpm=240.0)
    sender = ClockSender(output)
    thread = threading.Thread(target=sender.run, daemon=True)
    sender.lead(lead_message_at(output, beat=3.5, is_playing=True))
    thread.start()
    assert output.wait_for(START, DEADLINE_SECONDS)
    sender.lead(lead_message_at(output, beat=3.5, is_playing=False))
    assert output.wait_for(STOP, DEADLINE_SECONDS)
    sender.stop()
    thread.join(DEADLINE_SECONDS)
    statuses = [status for _, status in output.sent]
    start = statuses.index(START)
    assert statuses[start + 1] == CLOCK
    (start_ns, _) = output.sent[start]
    assert start_ns >= output.begin_ns + round(0.5 * 60e9 / 240.0), "half a beat on is the line"


def test_an_output_that_is_not_there_says_what_there_is(server: JackServer) -> None:
    with pytest.raises(MidiError, match=r"'Nope' in its name.*midi\.clock_port"):
        open_output("jack", "Nope", "test")


def test_without_any_midi_the_process_says_so_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge.clock.midi_out_process", "--api", "jack", "--port", "x"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env={**os.environ, "JACK_DEFAULT_SERVER": "none-of-this-name", "JACK_NO_START_SERVER": "1"},
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "trouble"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JackServer]:
    with jack_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.jack
def test_a_real_port_of_the_system_carries_it_to_a_real_input(server: JackServer) -> None:
    """python-rtmidi at both ends, over JACK's MIDI: its ports are the system's here."""
    feed = MidiFeed()
    child = ClockChild("bridge.clock.midi_out_process", ("--api", "jack", "--name", "leader"))
    backend = RtMidiBackend("jack")
    begin_ns = time.monotonic_ns()
    deadline = time.monotonic() + DEADLINE_SECONDS
    source = MidiSource(feed)
    port = None
    try:
        while True:
            now_ns = time.monotonic_ns()
            beat = (now_ns - begin_ns) * 140 / 60e9
            message = {"type": "lead", "time_ns": now_ns, "beat": beat, "bpm": 140.0}
            child.send({**message, "is_playing": True, "beats_per_bar": 4})
            names = [name for name in backend.names() if name.startswith("leader")]
            if port is None and names:
                port = backend.open(
                    names[0], lambda data: feed.put("leader", data, time.monotonic_ns())
                )
            found = source.anchor(now_ns)
            if found is not None and found.is_playing and source.quality(now_ns).is_locked:
                apart = (found.beat_at(now_ns) - beat + 2) % 4 - 2
                if abs(found.bpm / 140 - 1) < 0.02 and abs(apart) * 60_000 / 140 < 40.0:
                    return
            assert time.monotonic() < deadline, found
            time.sleep(0.03)
    finally:
        child.stop()
        if port is not None:
            port.close()
        backend.close()
