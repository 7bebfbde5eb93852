"""Tempo, bars, transport, time tags and what is told as time goes on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bridge.clock.internal import built_in_sources
from bridge.clock.source import ClockSource, Taps
from bridge.control.position import Position
from bridge.control.session_clock import SessionClock
from musicgen_rt.contract.timeline import Timeline
from tests.bridge.control.rig import HOP, RATE_HZ, READY, Rig, bundle, osc


def timelines(sent: list[dict[str, Any]]) -> Iterator[tuple[int, Timeline]]:
    for one in sent:
        if one["type"] == "timeline":
            yield one["frame"], Timeline.from_json(one["timeline"])


def events(rig: Rig, address: str) -> list[tuple[Any, ...]]:
    """What the subscriber of port 99 was told of one kind."""
    return [told[1:] for told in rig.take(rig.client(99)) if told[0] == address]


def test_a_tempo_reaches_both_children_with_its_frame(rig: Rig) -> None:
    assert rig.send("/mgrt/clock/tempo", 90.0, "bar") == [
        ("/done", "/mgrt/clock/tempo", pytest.approx(4.0), 1)
    ]
    for sent in (rig.engine, rig.playout):
        ((frame, timeline),) = timelines(sent)
        assert frame == 100
        assert (timeline.bpm_at(99), timeline.bpm_at(100)) == (120.0, 90.0)
        assert timeline.beat_at(100) == 4.0


def test_a_tempo_fader_makes_few_segments(rig: Rig) -> None:
    for step in range(200):
        rig.send("/mgrt/clock/tempo", 100.0 + step)
        rig.advance(0.01)
    rig.advance(0.3)
    changes = list(timelines(rig.engine))
    assert 9 <= len(changes) <= 12, "5 a second for 2 seconds, and the last"
    assert changes[-1][1].segments[-1].bpm == 299.0
    assert rig.session.state["clock/bpm"] == 299.0


def test_old_tempi_are_forgotten(rig: Rig) -> None:
    for step in range(200):
        rig.send("/mgrt/clock/tempo", 60.0 + step)
        rig.advance(1)
    assert len(rig.session.timeline.segments) < 40
    # The bars still count from the start: the sum of all beats.
    beats = sum((60 + step) / 60 for step in range(200))
    bar, _ = rig.session.clock.place_at(rig.position.heard_frame(rig.now_ns))
    assert bar - 1 == pytest.approx(beats / 4, abs=1)


def test_tapping_sets_the_tempo(rig: Rig) -> None:
    replies = []
    for _ in range(4):
        replies += rig.send("/mgrt/clock/tap")
        rig.advance(0.4)
    assert [reply[2:] for reply in replies] == [(1, 0.0), (2, 0.0), (3, 150.0), (4, 150.0)]
    assert rig.session.timeline.segments[-1].bpm == 150.0


def test_a_signature_begins_on_a_bar_line(rig: Rig) -> None:
    rig.send("/mgrt/clock/signature", 3)
    ((frame, timeline),) = timelines(rig.engine)
    assert frame == 100
    assert [timeline.bar_start_frame(bar) for bar in (0, 1, 2)] == [0, 100, 175]
    rig.advance(0.1)
    assert rig.session.state["clock/unit"] == 4


@pytest.mark.parametrize("source", ["link", "midi", "jack", "osc"])
def test_sources_that_are_not_here_are_not_available(rig: Rig, source: str) -> None:
    (reply,) = rig.send("/mgrt/clock/source", source)
    assert reply[:2] == ("/fail", "/mgrt/clock/source")
    assert "not available" in reply[2]
    assert "internal" in reply[2]
    assert rig.send("/mgrt/clock/source", "internal") == [("/done", "/mgrt/clock/source")]


@pytest.mark.parametrize(("path", "value"), [("clock/beat", 4.0), ("clock/offset_ms", 5.0)])
def test_the_internal_clock_follows_nobody(rig: Rig, path: str, value: float) -> None:
    (reply,) = rig.send(f"/mgrt/{path}", value)
    assert reply[0] == "/fail"
    assert "choose" in reply[2]


class HostClock(ClockSource):
    """A source as a later piece of work may add one."""

    name = "osc"
    beats: list[tuple[float, float | None, int]]
    is_stopped = False

    def __init__(self) -> None:
        self.beats = []

    def tempo(self, bpm: float, at_ns: int) -> float:
        return round(bpm)

    def signature(self, beats_per_bar: int) -> int:
        return beats_per_bar

    def tap(self, now_ns: int) -> Taps:
        return Taps(1, None)

    def beat(self, beat: float, bpm: float | None, at_ns: int) -> None:
        self.beats.append((beat, bpm, at_ns))

    def offset(self, offset_ms: float) -> None:
        pass

    def stop(self) -> None:
        self.is_stopped = True


def test_adding_a_source_is_a_registration(tmp_path: Path) -> None:
    host = HostClock()
    sources = built_in_sources()
    sources.register("osc", lambda _: host)
    rig = Rig(tmp_path, sources=sources).start()
    assert rig.send("/mgrt/clock/source", "osc")[0][0] == "/done"
    rig.send("/mgrt/clock/beat", 17.5, 93.0)
    rig.send("/mgrt/clock/tempo", 93.4)
    rig.send("/mgrt/clock/offset_ms", -12.0)
    assert host.beats == [(17.5, 93.0, rig.now_ns)]
    assert rig.session.timeline.segments[-1].bpm == 93.0
    assert rig.session.state["clock/offset_ms"] == -12.0
    rig.send("/mgrt/clock/source", "internal")
    assert host.is_stopped


def test_stop_and_play_open_and_close_the_gate(rig: Rig) -> None:
    ann = rig.subscribe()
    rig.send("/mgrt/transport/stop", "bar")
    stop = {"type": "gate", "id": 1, "is_open": False, "sample": 100 * HOP, "beat": 4.0}
    assert rig.playout[-1] == stop
    rig.apply_playout(sample=100 * HOP)
    assert rig.take() == [("/done", "/mgrt/transport/stop", pytest.approx(4.0), 1)]
    assert rig.send("/mgrt/status", client=ann)[-1][1] == "stopped"
    rig.send("/mgrt/transport/play")
    assert rig.playout[-1]["is_open"] is True
    assert rig.playout[-1]["time_ns"] is None
    assert rig.dispatcher.playout_start()["is_open"] is True


def test_reset_begins_a_new_bar_1(rig: Rig) -> None:
    rig.subscribe()
    rig.advance(3.0)
    assert rig.session.clock.place_at(150) == (2, 3)
    rig.forget()
    rig.send("/mgrt/transport/reset")
    timeline, command = rig.engine
    assert (timeline["type"], command["name"]) == ("timeline", "transport/reset")
    frame = command["frame"]
    assert timeline["frame"] == frame
    # Soon, but late enough for the engine to know it before it makes that frame.
    assert 10 <= frame - rig.position.commit_frame <= 20
    clock = rig.session.clock
    assert clock.place_at(frame - 1) == (2, 3)
    assert clock.place_at(frame) == (1, 1)
    assert clock.place_at(frame + 100) == (2, 1)
    assert clock.next_bar(frame + 1, 4)[0] == frame + 400


def test_beats_are_told_as_they_are_heard(rig: Rig) -> None:
    rig.subscribe()
    rig.take(rig.client(99))
    for _ in range(300):
        rig.advance(0.01)
    told = events(rig, "/mgrt/beat")
    assert told == [(1, beat, 120.0) for beat in (2, 3, 4)] + [(2, 1, 120.0), (2, 2, 120.0)] + [
        (2, 3, 120.0)
    ]


def test_after_a_pause_there_is_no_burst_of_beats(rig: Rig) -> None:
    rig.subscribe()
    rig.advance(30)
    assert events(rig, "/mgrt/beat") == [(16, 1, 120.0)]


def test_while_the_music_stands_still_no_beats_are_told(rig: Rig) -> None:
    rig.subscribe()
    rig.position = Position(RATE_HZ, HOP, reader_sample=64_000, commit_sample=64_000)
    for _ in range(10):
        rig.advance(1)
    assert events(rig, "/mgrt/beat") == []


def test_a_time_tag_is_when_it_is_heard(rig: Rig) -> None:
    rig.send_packet(bundle(rig.wall_seconds + 2.0, osc("/mgrt/prompt/set", 0, "jazz")))
    assert rig.commands() == []
    rig.advance(1.5)
    assert rig.commands() == []
    rig.advance(0.2)
    assert rig.commands() == [("prompt/set", 0, "jazz", 1.0, 0)]
    # Two seconds after the tag was sent sample 0 was heard two seconds ago.
    assert rig.engine[-1]["frame"] == 100
    assert rig.take() == []


def test_a_time_tag_and_when_together(rig: Rig) -> None:
    rig.send_packet(bundle(rig.wall_seconds + 0.3, osc("/mgrt/prompt/set", 0, "jazz", 1.0, "beat")))
    assert rig.engine[-1]["frame"] == 25


def test_what_is_no_sound_is_done_at_its_time(rig: Rig) -> None:
    rig.send_packet(bundle(rig.wall_seconds + 0.3, osc("/mgrt/version")))
    rig.advance(0.29)
    assert rig.take() == []
    rig.advance(0.02)
    ((address, *_),) = rig.take()
    assert address == "/mgrt/version.reply"


def test_waiting_bundles_can_be_dropped(rig: Rig) -> None:
    rig.send_packet(bundle(rig.wall_seconds + 5, osc("/mgrt/gen/undo"), osc("/mgrt/version")))
    assert rig.send("/mgrt/clear_sched") == [("/done", "/mgrt/clear_sched", 2)]
    rig.send_packet(bundle(rig.wall_seconds + 5, osc("/mgrt/version")))
    rig.send("/mgrt/gen/panic")
    rig.advance(6)
    assert [name for name, *_ in rig.commands()] == ["gen/panic"]


def test_a_bundle_for_at_once_is_done_at_once(rig: Rig) -> None:
    rig.send_packet(bundle(0, osc("/mgrt/prompt/set", 0, "a"), osc("/mgrt/prompt/set", 1, "b")))
    assert [command[2] for command in rig.commands()] == ["a", "b"]


def test_a_bundle_within_another_is_not_for_an_earlier_time(rig: Rig) -> None:
    inner = bundle(rig.wall_seconds + 1, osc("/mgrt/version"))
    rig.send_packet(bundle(rig.wall_seconds + 2, inner))
    rig.advance(1.5)
    assert rig.take() == []
    rig.advance(0.6)
    assert rig.take() != []


def test_the_state_of_the_output(rig: Rig) -> None:
    rig.subscribe()
    rig.dispatcher.from_playout({"type": "underrun", "count": 2})
    rig.dispatcher.from_playout({"type": "fallback", "is_on": True, "sample": 0})
    rig.dispatcher.from_playout({"type": "heartbeat", "peak_db": -3.5, "rms_db": -200.0})
    rig.dispatcher.from_playout({"type": "device_lost", "text": "gone"})
    rig.dispatcher.from_engine({"type": "heartbeat", "steps_per_second": 61.0})
    rig.dispatcher.from_engine({"type": "chunk", "first_sample": 6400, "end_sample": 70_400})
    rig.dispatcher.from_engine({"type": "error", "where": "logits", "text": "NaN", "frame": 3})
    rig.dispatcher.from_engine({"type": "suggestion", "bpm": 124.0})
    rig.dispatcher.from_engine({"type": "of a newer engine"})
    rig.advance(1.1)
    told = {message[0]: message[1:] for message in rig.take(rig.client(99))}
    assert told["/mgrt/underrun"] == (2,)
    assert told["/mgrt/fallback"] == (True,)
    assert told["/mgrt/error"] == ("logits", "NaN")
    assert told["/mgrt/suggestion/bpm"] == (124.0,)
    assert told["/mgrt/chunk"] == (2, pytest.approx(1950.0), pytest.approx(1.0))
    phase, lead_ms, steps, underruns, peak_db, rms_db = told["/mgrt/heartbeat"]
    assert (phase, steps, underruns, peak_db, rms_db) == ("playing", 61.0, 2, -3.5, -120.0)
    assert lead_ms == pytest.approx(1950.0)
    rig.dispatcher.playout_lost("killed")
    rig.dispatcher.from_playout({"type": "underrun", "count": 1})
    assert rig.session.underruns == 3, "a new playout counts on"


def test_the_level_is_set_and_muted(rig: Rig) -> None:
    rig.send("/mgrt/audio/gain_db", -6.0)
    rig.send("/mgrt/audio/mute", 1, "beat")
    gain, mute = rig.playout
    assert (gain["type"], gain["gain_db"], gain["ramp_ms"]) == ("gain", -6.0, 20)
    assert (mute["type"], mute["is_muted"], mute["sample"]) == ("mute", True, 25 * HOP)
    start = rig.dispatcher.playout_start()
    assert (start["gain_db"], start["is_muted"]) == (-6.0, True)


def test_recordings_have_names_of_their_own(rig: Rig, tmp_path: Path) -> None:
    assert "nothing is being recorded" in rig.send("/mgrt/audio/record", 0)[0][2]
    rig.send("/mgrt/audio/record", 1, "set one")
    path = str(tmp_path / "recordings" / "set one.wav")
    assert rig.playout[-1]["path"] == path
    rig.dispatcher.from_playout({"type": "recording", "path": path, "samples": 0, "is_on": True})
    rig.apply_playout()
    assert rig.take() == [("/done", "/mgrt/audio/record", "set one.wav", 0.0)]
    assert "set one.wav is being recorded" in rig.send("/mgrt/audio/record", 1)[0][2]
    rig.advance(2)
    rig.send("/mgrt/audio/record", 0)
    rig.apply_playout()
    assert rig.take() == [("/done", "/mgrt/audio/record", "set one.wav", pytest.approx(2.0))]


def test_a_recording_that_fails_is_told(rig: Rig, tmp_path: Path) -> None:
    rig.subscribe()
    recording = {"type": "recording", "path": str(tmp_path / "a.wav"), "samples": 0}
    rig.dispatcher.from_playout({**recording, "is_on": True})
    rig.advance(0.1)
    rig.take(rig.client(99))
    rig.dispatcher.from_playout({**recording, "is_on": False, "error": "disk full"})
    rig.advance(0.1)
    told = rig.take(rig.client(99))
    assert ("/mgrt/error", "recording", "disk full") in told
    assert ("/mgrt/state/record", False, "") in told
    rig.dispatcher.from_playout({**recording, "is_on": True})
    rig.dispatcher.playout_lost("killed")
    assert rig.session.recording is None


def test_devices_are_asked_of_the_playout(rig: Rig) -> None:
    rig.send("/mgrt/audio/devices")
    assert rig.playout[-1]["type"] == "devices"
    rig.apply_playout(devices=["one", "two"])
    assert rig.take() == [("/mgrt/audio/devices.reply", "one", "two")]
    rig.send("/mgrt/audio/device", "two")
    assert rig.playout[-1]["name"] == "two"
    rig.apply_playout()
    assert rig.take() == [("/done", "/mgrt/audio/device")]


def test_pcm_is_made_while_somebody_wants_it(rig: Rig) -> None:
    rig.dispatcher.want_pcm(True)
    assert rig.playout == [{"type": "pcm", "is_on": True}]
    assert rig.dispatcher.playout_start()["pcm"] is True
    heard: list[tuple[dict[str, Any], bytes]] = []

    class Listener:
        def publish(self, message: object) -> None: ...

        def publish_pcm(self, header: Any, payload: bytes) -> None:
            heard.append((dict(header), payload))

    rig.dispatcher.delivery.publisher = Listener()
    header = {"type": "pcm", "seq": 5, "sample": 100.0 * HOP, "rate_hz": 48000, "channels": 2}
    rig.dispatcher.from_playout(header, b"12345678")
    assert heard == [
        (
            {
                "sequence": 5,
                "sample": 100.0 * HOP,
                "rate_hz": 48000,
                "channels": 2,
                "beat": 4.0,
                "bpm": 120.0,
            },
            b"12345678",
        )
    ]


def test_a_checkpoint_with_another_frame_rate(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.dispatcher.engine_start()
    rig.dispatcher.from_engine({**READY, "sampling_rate_hz": 24000, "hop_samples": 320})
    assert rig.session.timeline.frame_rate_hz == Fraction(75)
    assert rig.session.timeline.bar_start_frame(1) == 150


def test_phases(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    status = rig.send("/mgrt/status")[0]
    assert status[:4] == ("/mgrt/status.reply", "loading", "pocket", 0.0)
    rig.dispatcher.from_engine({"type": "error", "where": "load", "text": "truncated"})
    assert rig.send("/mgrt/status")[0][1] == "failed"
    assert "truncated" in rig.send("/mgrt/gen/retry")[0][2]
    rig.dispatcher.from_engine({"type": "loading", "fraction": 0.5, "text": "again"})
    assert rig.send("/mgrt/status")[0][1:4] == ("loading", "pocket", 0.5)
    rig.dispatcher.from_engine(READY)
    assert rig.send("/mgrt/status")[0][1] == "playing"


@pytest.mark.parametrize(("first", "multiple", "expected"), [(0, 1, 0), (1, 1, 100), (1, 4, 400)])
def test_rows_of_bars(first: int, multiple: int, expected: int) -> None:
    clock = SessionClock(Timeline.start(120), built_in_sources(), "internal")
    assert clock.next_bar(first, multiple)[0] == expected


def test_heard_is_never_ahead_of_what_has_left() -> None:
    position = Position(
        reader_sample=1000, dac_sample=900, dac_time_ns=10**9, is_moving=True, written_end=5000
    )
    assert position.heard_sample(10**9) == 900
    assert position.heard_sample(2 * 10**9) == 1000
    # While frames to come are counted from the device's clock all the same.
    assert position.time_of_frame_ns(1, 10**9) < 10**9
    assert position.frame_at(2 * 10**9, 10**9) == (900 + 32000) / 640
