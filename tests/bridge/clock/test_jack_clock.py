"""The JACK clock against a real server: transport, bars, timebase, and MIDI clock both ways."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import pstdev

import pytest

from bridge.clock.anchor import Anchor
from bridge.clock.child import ClockChild
from bridge.clock.jack import JackSource
from bridge.clock.midi import MidiFeed, MidiSource
from bridge.clock.midi_position import MidiPosition
from bridge.refusal import Refusal
from musicgen_rt.evaluate.jack_server import JackServer
from tests.bridge.jack_server import jack_server
from tests.programs import requires_program

DEADLINE_SECONDS = 60.0
pytestmark = pytest.mark.jack


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JackServer]:
    with jack_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def until(source: JackSource | MidiSource, accepts: Callable[[Anchor], bool]) -> Anchor:
    """The first anchor that is accepted."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    last = None
    while time.monotonic() < deadline:
        last = source.anchor(time.monotonic_ns())
        if last is not None and accepts(last):
            return last
        time.sleep(0.01)
    raise AssertionError(f"no such anchor in {DEADLINE_SECONDS} s; the last was {last}")


def transport(words: str) -> None:
    """Let JACK's own tool change the transport."""
    tool = requires_program("jack_transport")
    subprocess.run(
        [tool],
        input=f"{words}\nquit\n".encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def test_the_transport_is_led_followed_located_and_stopped(server: JackServer) -> None:
    source = JackSource(Anchor(0, 0.0, 93.7, beats_per_bar=4))
    try:
        standing = until(source, lambda one: one.is_playing is False)
        assert not standing.is_running
        assert standing.bpm == 93.7
        transport("play")
        first = until(source, lambda one: one.is_playing is True)
        later = until(source, lambda one: one.time_ns > first.time_ns + 500_000_000)
        # The dummy sound card's clock jumps where the processors are busy.
        assert later.beat_at(first.time_ns) == pytest.approx(first.beat, abs=0.3)
        transport("locate 480000")
        located = until(source, lambda one: abs(one.beat - 10 * 93.7 / 60) < 4)
        assert located.beats_per_bar == 4
        transport("stop")
        until(source, lambda one: one.is_playing is False)
    finally:
        source.stop()


def test_bars_that_another_program_takes_over_are_no_longer_ours(server: JackServer) -> None:
    """JACK lets any program take the timebase from us, and tells nobody."""
    source = JackSource(Anchor(0, 0.0, 93.7, beats_per_bar=4))
    host = None
    try:
        until(source, lambda one: takes_tempo(source))
        assert source.tempo(101.0, 0) == 101.0
        until(source, lambda one: one.bpm == 101.0)
        command = [sys.executable, "-m", "musicgen_rt.evaluate.sync_host", server.name, "140"]
        host = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(source, lambda one: one.is_playing is True and one.bpm == 140.0)
        until(source, lambda one: not takes_tempo(source))
        with pytest.raises(Refusal, match="not ours to choose"):
            source.tempo(120.0, 0)
        host.kill()
        host.wait()
        until(source, lambda one: takes_tempo(source))
        gone = until(source, lambda one: True)
        assert gone.bpm == 140.0, "its beats go on"
        assert gone.beats_per_bar == 4
    finally:
        source.stop()
        if host is not None:
            host.kill()
            host.wait()


def takes_tempo(source: JackSource) -> bool:
    """Whether the bars are ours to say."""
    try:
        source.require_tempo(120.0)
    except Refusal:
        return False
    return True


def test_a_server_that_dies_is_noticed_and_found_again(server: JackServer) -> None:
    source = JackSource(Anchor(0, 0.0, 120.0, beats_per_bar=4))
    try:
        until(source, lambda one: takes_tempo(source))
        source.tempo(101.0, 0)
        source.signature(3)
        until(source, lambda one: (one.bpm, one.beats_per_bar) == (101.0, 3))
        server.kill()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while source.anchor(time.monotonic_ns()) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not source.quality(time.monotonic_ns()).is_locked
        server.start()
        until(source, lambda one: (one.bpm, one.beats_per_bar) == (101.0, 3))
    finally:
        source.stop()


def test_f31_jack_midi_clock_is_locked_to(server: JackServer) -> None:
    """`jack_midi_clock` makes MIDI clock from the transport, whose timebase is ours.

    Times are JACK's frames: the dummy sound card's second is longer than ours where the processors
    are busy.
    """
    program = requires_program("jack_midi_clock")
    source = JackSource(Anchor(0, 0.0, 126.0, beats_per_bar=4))
    listener = ClockChild("bridge.clock.jack_process", ("--midi-in", "--name", "listener"))
    sender = subprocess.Popen(
        [program, "-d", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    heard = MidiPosition()
    ticks: list[tuple[float, float]] = []
    locked_ns: int | None = None
    try:
        until(source, lambda one: True)
        _connect("jack_midi_clock:mclk_out", "listener:clock_in")
        transport("play")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(ticks) < 24 * 12:
            assert time.monotonic() < deadline, f"{len(ticks)} ticks only"
            for message in listener.take():
                if message["type"] == "midi":
                    time_ns = message["frame"] * 10**9 // server.rate_hz
                    heard.take(message["data"], time_ns)
                    found = heard.anchor(time_ns)
                    if found is not None:
                        ticks.append((time_ns, found.bpm))
                    if locked_ns is None and heard.quality(time_ns).is_locked:
                        locked_ns = time_ns
            time.sleep(0.02)
    finally:
        sender.kill()
        sender.wait()
        source.stop()
        listener.stop()
    assert locked_ns is not None
    # Where the server itself missed periods, ticks are missing too: it begins anew after them.
    gaps_ns = [b for (a, _), (b, _) in pairwise(ticks) if a < locked_ns and b - a > 50_000_000]
    assert locked_ns - max([ticks[0][0], *gaps_ns]) <= 2 * 10**9
    settled = [bpm for time_ns, bpm in ticks if time_ns > locked_ns + 2 * 10**9]
    assert pstdev(settled) <= 0.02
    assert sum(settled) / len(settled) == pytest.approx(126, abs=0.02)
    assert heard.quality(round(ticks[-1][0])).jitter_ms < 1.0


def test_midi_clock_out_is_what_another_locks_to(server: JackServer) -> None:
    leader = ClockChild("bridge.clock.jack_process", ("--midi-out", "--name", "leader"))
    midi = MidiSource(MidiFeed(), is_jack=True)
    begin_ns = time.monotonic_ns()

    def apart_ms() -> float | None:
        """How far the bars are apart, once it plays; whole bars do not matter."""
        now_ns = time.monotonic_ns()
        beat = (now_ns - begin_ns) * 140 / 60e9
        leader.send(
            {
                "type": "lead",
                "time_ns": now_ns,
                "beat": beat,
                "bpm": 140.0,
                "is_playing": True,
                "beats_per_bar": 4,
            }
        )
        found = midi.anchor(now_ns)
        if found is None or not found.is_playing:
            return None
        return ((found.beat_at(now_ns) - beat + 2) % 4 - 2) * 60_000 / 140

    try:
        _connect("leader:clock_out", "musicgen-rt-midi:clock_in")
        # The dummy sound card's clock jumps where the processors are busy, and takes both along.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (apart := apart_ms()) is None or abs(apart) > 3.0:
            assert time.monotonic() < deadline, f"{apart} ms apart"
            time.sleep(0.05)
        found = midi.anchor(time.monotonic_ns())
        assert found is not None
        assert found.bpm == pytest.approx(140, rel=0.1)
    finally:
        leader.stop()
        midi.stop()


def _connect(source: str, target: str) -> None:
    tool = requires_program("jack_connect")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        done = subprocess.run(
            [tool, "-s", os.environ["JACK_DEFAULT_SERVER"], source, target],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        listed = subprocess.run(
            [requires_program("jack_lsp"), "-s", os.environ["JACK_DEFAULT_SERVER"], "-c", source],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 or target in listed.stdout:
            return
        time.sleep(0.1)
    raise AssertionError(f"{source} could not be connected to {target} ({sys.platform})")
