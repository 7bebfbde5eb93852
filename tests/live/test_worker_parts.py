"""Small parts of the worker, each by itself: speed, ears, heart, queues, state as JSON."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from typing import Any

import numpy as np
import pytest

from musicgen_rt.contract.pipe import Pipe, encode
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import ParameterError
from musicgen_rt.live.buffer_writer import Written
from musicgen_rt.live.collapse import ONE_TONE, SILENCE, CollapseDetector
from musicgen_rt.live.melody_state import MelodyState, Pattern, PatternNote
from musicgen_rt.live.pace import Pace
from musicgen_rt.live.worker_heart import Heart
from musicgen_rt.live.worker_inbox import Inbox
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.live.worker_run import useful_threads
from musicgen_rt.live.worker_sender import MAX_WAITING, Sender
from musicgen_rt.live.worker_start import StartSettings
from tests.live.worker_rig import FakeClock

RATE_HZ = 32000


# Pace


def test_pace_follows_the_measured_speed() -> None:
    pace = Pace(50.0, settle_frames=7)
    for _ in range(80):
        pace.add(4, 0.04)
    assert pace.steps_per_second == pytest.approx(100, rel=0.01)
    assert pace.chunk_frames == 4
    # 4 frames take 40 ms, in which 2 are played; with half as much again that is 3.
    assert pace.reserve_frames in (3, 4)
    # 7 + 3 steps take 100 ms, in which 5 frames are played.
    assert pace.margin_frames in (5, 6)
    pace.add(4, 2.0)
    assert pace.steps_per_second > 75, "one slow call changes little"
    for _ in range(60):
        pace.add(4, 0.1)
    assert pace.is_too_slow and pace.steps_per_second == pytest.approx(40, rel=0.02)


def test_a_going_back_waits_for_what_its_filling_takes() -> None:
    pace = Pace(50.0, settle_frames=7)
    for _ in range(60):
        pace.add(10, 0.05)
    before = pace.rewrite_frames
    pace.add(10, 3.0, is_filled=True)  # the first one compiles: that says little
    assert pace.fill_seconds <= 0.02
    for _ in range(10):
        pace.add(10, 0.05)
        pace.add(10, 0.11, is_filled=True)
    assert before + 2 < pace.rewrite_frames < before + 5
    for _ in range(60):
        pace.add(10, 0.05)
        pace.add(10, 0.05, is_filled=True)
    assert pace.rewrite_frames == pytest.approx(before, abs=0.2)


def test_a_rewrite_waits_for_as_much_as_the_longest_call_of_late_takes() -> None:
    pace = Pace(50.0, settle_frames=7)
    for _ in range(100):
        pace.add(10, 0.035)
    assert pace.reserve_frames == 3
    pace.add(10, 3.0)
    assert pace.reserve_frames <= 7, "one odd call says little"
    for _ in range(3):
        pace.add(10, 0.12)
        for _ in range(40):  # 8 s: the next roll of a window
            pace.add(10, 0.035)
    assert pace.reserve_frames in (6, 7)
    for _ in range(300):  # a minute later it is half of a half
        pace.add(10, 0.035)
    assert pace.reserve_frames == 3


@pytest.mark.parametrize("lead", [99, 20_001, 150.5, True])
def test_a_lead_out_of_range(lead: Any) -> None:
    with pytest.raises(ParameterError, match="100 to 20000"):
        Pace(50.0, 7).set_lead(lead)


# What the detector hears


def sound_of(kind: str, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    if kind == "silence":
        return np.zeros((1, len(t)), np.float32)
    if kind == "tone":
        return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None]
    if kind == "low tone":
        return (0.3 * np.sin(2 * np.pi * 55 * t)).astype(np.float32)[None]
    if kind == "notes":  # a bare sine melody, four notes a second, is music
        pitches = np.array([60, 64, 67, 62, 65, 69, 71, 60])[(t * 4).astype(int) % 8]
        hz = 440 * 2 ** ((pitches - 69) / 12)
        return (0.3 * np.sin(np.cumsum(2 * np.pi * hz / RATE_HZ))).astype(np.float32)[None]
    if kind == "beats":  # decaying clicks, two a second
        return (np.exp(-((t * 2) % 1) * 20) * np.sin(900 * t)).astype(np.float32)[None]
    if kind == "chord":
        parts = [np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330)]
        return (0.1 * np.sum(parts, axis=0)).astype(np.float32)[None]
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (1, len(t))).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("silence", SILENCE),
        ("tone", ONE_TONE),
        ("low tone", ONE_TONE),
        ("notes", None),
        ("beats", None),
        ("chord", None),
        ("noise", None),
    ],
)
def test_what_counts_as_collapsed(kind: str, expected: str | None) -> None:
    detector = CollapseDetector(RATE_HZ)
    detector.hear(0, sound_of("noise", 1.0))
    sound = sound_of(kind, 4.0)
    for first in range(0, sound.shape[1], 4000):
        detector.hear(RATE_HZ + first, sound[:, first : first + 4000])
    found, samples = detector.collapsed_for()
    if expected is None:
        assert samples < RATE_HZ
    else:
        assert found == expected
        assert samples == pytest.approx(4 * RATE_HZ, abs=0.3 * RATE_HZ)


def test_what_is_made_again_is_heard_anew() -> None:
    detector = CollapseDetector(RATE_HZ)
    detector.hear(0, sound_of("noise", 1.0))
    detector.hear(RATE_HZ, sound_of("silence", 3.0))
    detector.hear(2 * RATE_HZ, sound_of("noise", 1.0))
    assert detector.hears_music
    detector.hear(3 * RATE_HZ, sound_of("silence", 1.0))
    assert detector.collapsed_for()[1] == pytest.approx(RATE_HZ, abs=0.3 * RATE_HZ)


def test_opposite_channels_are_no_silence() -> None:
    detector = CollapseDetector(RATE_HZ)
    noise = sound_of("noise", 2.0)
    detector.hear(0, np.concatenate([noise, -noise]))
    assert detector.collapsed_for() == (None, 0)


# The heart


def test_the_heart_beats_while_the_loop_comes_round() -> None:
    clock = FakeClock()
    beats: list[dict[str, Any]] = []
    heart = Heart(lambda kind, **fields: beats.append(fields), clock=clock)

    def beats_after(seconds: float) -> bool:
        clock.seconds += seconds
        return heart.is_beating

    assert beats_after(600.0), "loading may take as long as it likes"
    heart.touch({"next_frame": 3})
    assert beats_after(1.9)
    assert not beats_after(0.2)
    with heart.working():
        assert beats_after(15.0)
    assert not beats_after(2.1)


# Queues


def test_a_full_inbox_refuses_and_still_hears_the_end() -> None:
    mine, theirs = socket.socketpair()
    refused: list[Any] = []
    closed = threading.Event()
    inbox = Inbox(Pipe(theirs), refused.append, closed.set, max_waiting=3)
    for number in range(5):
        mine.sendall(encode({"type": "command", "id": number}))
    mine.sendall(encode({"type": "quit"}))
    inbox.start()
    assert closed.wait(10)
    assert inbox.is_closed
    assert [message["id"] for message in inbox.take(0)] == [0, 1, 2]
    assert [message["id"] for message in refused] == [3, 4]


def test_of_states_that_wait_the_last_counts_and_none_is_refused() -> None:
    mine, theirs = socket.socketpair()
    refused: list[Any] = []
    closed = threading.Event()
    inbox = Inbox(Pipe(theirs), refused.append, closed.set, max_waiting=3)
    for number in range(5):
        mine.sendall(encode({"type": "command", "id": number}))
        mine.sendall(encode({"type": "lead", "lead_ms": 100 + number}))
        frame = None if number == 2 else 900 - number
        mine.sendall(encode({"type": "timeline", "timeline": number, "frame": frame}))
    mine.sendall(encode({"type": "quit"}))
    inbox.start()
    assert closed.wait(10)
    command, lead, timeline = inbox.take(0)
    assert command == {"type": "command", "id": 0}
    assert lead == {"type": "lead", "lead_ms": 104}
    # It differs from what the engine knows from the earliest of their frames on.
    assert timeline == {"type": "timeline", "timeline": 4, "frame": 0}
    assert [message["id"] for message in refused] == [1, 2, 3, 4]
    assert inbox.take(0) == []


@pytest.mark.parametrize("end", [b"", b"\x00\x00\x00\x02\x00\x00\x00\x00{]"])
def test_the_pipes_end_and_nonsense_close_the_inbox(end: bytes) -> None:
    mine, theirs = socket.socketpair()
    closed = threading.Event()
    inbox = Inbox(Pipe(theirs), lambda message: None, closed.set)
    inbox.start()
    mine.sendall(end)
    mine.close()
    assert closed.wait(10)
    assert inbox.take(10.0) == []


def test_the_sender_never_waits_for_control() -> None:
    """Control does not read: news are left out, answers wait, and nothing blocks."""
    mine, theirs = socket.socketpair()
    sender = Sender(Pipe(theirs))
    sender.start()
    for number in range(20_000):
        sender.send({"type": "heartbeat", "n": number})
        sender.send({"type": "applied", "id": number})
    assert len(sender._waiting) < MAX_WAITING
    reader = Pipe(mine)
    kinds = []
    for message, _ in reader.receive():
        kinds.append(message["type"])
        if message.get("id") == 19_999:
            break
    assert kinds.count("applied") == 20_000
    assert kinds.count("heartbeat") < 20_000
    mine.close()
    sender.send({"type": "applied", "id": 1})
    sender.close(10.0)
    assert not sender._thread.is_alive()


def test_chunks_are_told_ten_times_a_second_at_most_and_none_is_lost() -> None:
    clock = FakeClock()
    sent: list[dict[str, Any]] = []
    outbox = Outbox(sent.append, clock)
    for number in range(10):
        clock.seconds += 0.03
        outbox.written(Written(number * 100, number * 100 + 100, is_rewrite=number == 5))
    clock.seconds += 1.0
    outbox.flush()
    assert len(sent) <= 4
    assert sent[0]["first_sample"] == 0
    for one, two in itertools.pairwise(sent):
        assert two["first_sample"] == one["end_sample"]
    assert sent[-1]["end_sample"] == 1000
    assert any(message["is_rewrite"] for message in sent)


# What is kept and told


def test_a_melodys_state_survives_json() -> None:
    notes = (PatternNote(60, 100, 0.0, 1.5), PatternNote(64, 90, 2.0, 4.0))
    loop = Pattern(16.0, 8.0, notes)
    state = MelodyState(mode="loop", loop_bars=2, loop=loop, file=loop, file_name="riff.mid")
    restored = MelodyState.from_json(json.loads(json.dumps(state.to_json())))
    assert restored == state
    assert restored.moved(100, 8.0).loop == Pattern(24.0, 8.0, notes)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "sing"},
        {"loop_bars": 0},
        {"loop": {"start_beat": 0}},
        {"loop": 3},
        {"audio": [1]},
        {"file_name": 3},
    ],
)
def test_a_damaged_melody_state_is_refused(change: dict[str, Any]) -> None:
    value = MelodyState().to_json() | change
    with pytest.raises(ParameterError):
        MelodyState.from_json(value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": None}, None),
        ({"timeline": {}}, "not a timeline"),
        ({"options": {"window": 3}}, "window"),
        ({"options": {"window_seconds": -1}}, "window_seconds"),
        ({"state": [{"name": "prompt/set"}]}, "command"),
        ({"seed": "a"}, "start message"),
    ],
)
def test_start_messages(change: dict[str, Any], text: str | None) -> None:
    message = {"type": "start", "model": "m", "timeline": Timeline.start(120).to_json()}
    if text is None:
        assert StartSettings.from_message(message).lead_ms == 2000
        return
    with pytest.raises(ParameterError, match=text):
        StartSettings.from_message(message | change)


@pytest.mark.parametrize(
    ("weights", "cores", "threads"),
    [(12_000_000, 16, 1), (400_000_000, 2, 1), (400_000_000, 8, 7), (20_000_000, 8, 2), (0, 1, 1)],
)
def test_small_models_share_a_step_among_few_threads(
    weights: int, cores: int, threads: int
) -> None:
    assert useful_threads(weights, cores) == threads
