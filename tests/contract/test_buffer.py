"""The timeline buffer against a plain array, and between two processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from musicgen_rt.contract.buffer import BehindCommitError, BufferFullError, TimelineBuffer
from musicgen_rt.contract.buffer_snapshot import BufferSnapshot, PlayoutState
from musicgen_rt.errors import ParameterError

RATE_HZ = 32000
CAPACITY = 400
HISTORY = 150
POSITION_MODULUS = 1 << 20
ROOT = Path(__file__).parents[2]


@pytest.fixture
def buffer() -> Iterator[TimelineBuffer]:
    created = TimelineBuffer.create(RATE_HZ, 2, CAPACITY, HISTORY)
    yield created
    created.close()


def _ramp(first: int, count: int) -> NDArray[np.float32]:
    """Both channels hold the position: [2, count]."""
    return np.tile(np.arange(first, first + count, dtype=np.float32), (2, 1))


class BufferMachine(RuleBasedStateMachine):
    """Random calls of both sides; `truth` is what every position was given last."""

    def __init__(self) -> None:
        super().__init__()
        self.writer = TimelineBuffer.create(RATE_HZ, 1, CAPACITY, HISTORY)
        self.reader = TimelineBuffer.attach(os.dup(self.writer.fd))
        self.truth: dict[int, float] = {}
        self.start = self.end = self.commit = self.read_to = 0
        self.values = 0

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()

    def _fresh(self, count: int) -> NDArray[np.float32]:
        self.values += count
        return np.arange(self.values - count, self.values, dtype=np.float32)[None]

    @rule(offset=st.integers(-30, 120), count=st.integers(0, 130), fade=st.integers(0, 40))
    def write(self, offset: int, count: int, fade: int) -> None:
        first = max(0, self.commit + offset)
        samples = self._fresh(count)
        if not self.start <= first <= self.end:
            with pytest.raises(ParameterError, match="start_stretch"):
                self.writer.write(first, samples, fade)
        elif first + count > self.read_to + CAPACITY - HISTORY:
            with pytest.raises(BufferFullError):
                self.writer.write(first, samples, fade)
        elif first < self.commit:
            with pytest.raises(BehindCommitError) as raised:
                self.writer.write(first, samples, fade)
            assert raised.value.commit_sample == self.commit
        else:
            faded = min(fade, count, self.end - first)
            self.writer.write(first, samples, fade)
            for i, value in enumerate(samples[0].tolist()):
                new_share = (i + 1) / (faded + 1) if i < faded else 1.0
                old = self.truth.get(first + i, 0.0)
                self.truth[first + i] = value * new_share + old * (1 - new_share)
            self.end = first + count

    @rule(count=st.integers(1, 130))
    def append(self, count: int) -> None:
        self.write(self.end - self.commit, count, 0)

    @rule(offset=st.integers(-20, 200))
    def start_stretch(self, offset: int) -> None:
        first = max(0, self.commit + offset)
        if first < self.commit:
            with pytest.raises(BehindCommitError):
                self.writer.start_stretch(first)
        else:
            self.writer.start_stretch(first)
            self.start = self.end = first

    @rule(count=st.integers(0, 120))
    def claim(self, count: int) -> None:
        samples = self.reader.claim(self.commit, count)
        assert samples is not None
        self._check_samples(self.commit, count, samples)
        self.commit += count

    @rule(count=st.integers(0, 90))
    def skip(self, count: int) -> None:
        self.commit += count
        self.reader.commit(self.commit)

    @precondition(lambda self: self.commit > self.read_to)
    @rule(share=st.floats(0, 1))
    def play(self, share: float) -> None:
        self.read_to += round(share * (self.commit - self.read_to))
        self.reader.publish_reader(self.read_to)

    @rule(offset=st.integers(-200, 200), count=st.integers(0, 300))
    def peek(self, offset: int, count: int) -> None:
        first = max(0, self.read_to + offset)
        self._check_samples(first, count, self.reader.peek(first, count))

    @invariant()
    def positions_agree(self) -> None:
        seen = self.reader.snapshot()
        assert (seen.stretch_start, seen.written_end) == (self.start, self.end)
        assert (seen.reader_sample, seen.commit_sample) == (self.read_to, self.commit)
        valid = self.reader.valid_from(self.commit)
        lead = self.end - self.commit if self.start <= self.commit < self.end else 0
        assert valid == (self.commit + lead, False)
        assert seen.lead_samples == lead

    def _check_samples(self, first: int, count: int, samples: NDArray[np.float32]) -> None:
        is_readable = self.start <= first and first >= self.read_to - HISTORY
        n = max(0, min(count, self.end - first)) if is_readable else 0
        expected = [self.truth[first + i] for i in range(n)]
        np.testing.assert_allclose(samples, [expected], rtol=1e-5)


BufferMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBufferMachine = BufferMachine.TestCase


def test_a_new_buffer_is_empty_and_knows_its_sizes(buffer: TimelineBuffer) -> None:
    attached = TimelineBuffer.attach(os.dup(buffer.fd))
    assert (attached.rate_hz, attached.channels) == (RATE_HZ, 2)
    assert (attached.capacity_samples, attached.history_samples) == (CAPACITY, HISTORY)
    assert attached.snapshot() == BufferSnapshot(0, 0, 0, 0, PlayoutState.STARTING, 0, None, None)
    attached.close()


def test_the_default_history_lasts_20_seconds() -> None:
    buffer = TimelineBuffer.create(100, 1, 3000)
    assert buffer.history_samples == 2000
    buffer.close()


def test_what_the_playout_publishes_is_seen(buffer: TimelineBuffer) -> None:
    buffer.publish_state(PlayoutState.FALLBACK, 3)
    buffer.publish_dac(123.25, 4_000_000_000_007)
    seen = buffer.snapshot()
    assert (seen.state, seen.underruns) == (PlayoutState.FALLBACK, 3)
    assert (seen.dac_sample, seen.dac_time_ns) == (123.25, 4_000_000_000_007)


def test_the_lead_does_not_count_samples_beyond_a_hole(buffer: TimelineBuffer) -> None:
    buffer.start_stretch(100)
    buffer.write(100, _ramp(100, 50))
    assert buffer.snapshot().lead_samples == 0
    assert buffer.claim(0, 100) is not None
    assert buffer.snapshot().lead_samples == 50


@pytest.mark.parametrize("shape", [(1, 10), (3, 10), (20,), (1, 2, 10)])
def test_samples_of_a_wrong_shape_are_refused(
    buffer: TimelineBuffer, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ParameterError, match=r"expected \[2, N\]"):
        buffer.write(0, np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("rate_hz", "channels", "capacity", "history"),
    [
        (0, 1, 10, 0),
        (1, 0, 10, 0),
        (1, 33, 10, 0),
        (1, 1, 10, 10),
        (1, 1, 10, -1),
        (10, 1, 200, None),
    ],
)
def test_sizes_without_sense_are_refused(
    rate_hz: int, channels: int, capacity: int, history: int | None
) -> None:
    with pytest.raises(ParameterError, match="expected"):
        TimelineBuffer.create(rate_hz, channels, capacity, history)


def test_other_memory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "other").open("wb+") as file:
        file.write(bytes(8192))
        file.flush()
        with pytest.raises(ParameterError, match="no timeline buffer"):
            TimelineBuffer.attach(file.fileno())


def test_a_rewrite_that_was_broken_off_costs_only_what_it_touched(buffer: TimelineBuffer) -> None:
    """The engine is killed between its announcement and its end; the next one starts anew."""
    buffer.write(0, _ramp(0, 200))
    dying = TimelineBuffer.attach(os.dup(buffer.fd))
    dying._announce_rewrite(120)
    assert buffer.valid_from(0) == (120, True)
    assert buffer.peek(100, 50).shape == (2, 20)
    assert buffer.claim(100, 50) is None
    respawned = TimelineBuffer.attach(os.dup(buffer.fd))
    respawned.start_stretch(150)
    respawned.write(150, _ramp(150, 50))
    np.testing.assert_array_equal(buffer.claim(150, 50), _ramp(150, 50))
    dying.close()
    respawned.close()


def test_an_engine_killed_while_it_publishes_leaves_an_empty_stretch(
    buffer: TimelineBuffer,
) -> None:
    buffer.write(0, _ramp(0, 100))
    buffer._fields.set("version", buffer._fields.get("version") | 1)
    assert buffer.valid_from(0) == (0, False)
    buffer.start_stretch(0)
    buffer.write(0, _ramp(0, 100))
    assert buffer.valid_from(0) == (100, False)


_WRITER = f"""
import random, sys
import numpy as np
from musicgen_rt.contract.buffer import BehindCommitError, BufferFullError, TimelineBuffer

buffer = TimelineBuffer.attach(int(sys.argv[1]))
total, chance = int(sys.argv[2]), random.Random(int(sys.argv[3]))
generation = rewrites = refused = 0

def block(first, count):
    positions = np.arange(first, first + count) % {POSITION_MODULUS}
    return np.stack([positions, np.full(count, generation)]).astype(np.float32)

def skip_ahead():
    margin = 300
    while True:
        try:
            return buffer.start_stretch(buffer.snapshot().commit_sample + margin)
        except BehindCommitError:
            margin *= 2  # the reader was faster

buffer.start_stretch(0)
while (seen := buffer.snapshot()).commit_sample < total:
    first = seen.written_end
    if chance.random() < 0.4 and seen.lead_samples > 700:
        first = seen.commit_sample + chance.randrange(100)
        generation += 1
    try:
        buffer.write(first, block(first, 600 + chance.randrange(400)))
        rewrites += first < seen.written_end
    except BufferFullError:
        pass
    except BehindCommitError:
        refused += 1
        skip_ahead()
print(rewrites, refused)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_two_processes_never_see_torn_or_changed_samples(seed: int) -> None:
    """Channel 0 holds each sample's position, channel 1 the generation of the write."""
    total = 150_000
    buffer = TimelineBuffer.create(RATE_HZ, 2, 16_000, 8_000)
    command = [sys.executable, "-c", _WRITER, str(buffer.fd), str(total), str(seed)]
    writer = subprocess.Popen(
        command, cwd=ROOT, pass_fds=[buffer.fd], stdout=subprocess.PIPE, text=True
    )
    claimed = {"samples": 0, "torn": 0, "generation": -1.0}
    position = 0
    deadline = time.monotonic() + 60
    recent: list[tuple[int, NDArray[np.float32]]] = []
    while position < total and time.monotonic() < deadline:
        if buffer.valid_from(position).end_sample < position + 64 and writer.poll() is None:
            # As the playout in its fallback: time goes on over a hole.
            if buffer.snapshot().stretch_start > position:
                position += 64
                buffer.commit(position)
                buffer.publish_reader(max(0, position - 2000))
            continue
        samples = buffer.claim(position, 64)
        if samples is None:
            continue
        expected = np.arange(position, position + samples.shape[1]) % POSITION_MODULUS
        claimed["torn"] += not np.array_equal(samples[0], expected)
        generations = np.concatenate([[claimed["generation"]], samples[1]])
        claimed["torn"] += bool((np.diff(generations) < 0).any())
        claimed["generation"] = float(generations[-1])
        claimed["samples"] += samples.shape[1]
        recent = [*recent[-40:], (position, samples)]
        claimed["torn"] += not _is_unchanged(buffer, *recent[0])
        position += 64
        buffer.publish_reader(max(0, position - 2000))
    output, _ = writer.communicate(timeout=30)
    buffer.close()
    rewrites, refused = (int(word) for word in output.split())
    assert writer.returncode == 0
    assert claimed["torn"] == 0
    assert claimed["samples"] > total // 2
    assert rewrites > 20
    print(f"{rewrites} rewrites, {refused} refused, {claimed['samples']} samples claimed")


def _is_unchanged(buffer: TimelineBuffer, first: int, samples: NDArray[np.float32]) -> bool:
    """What was once claimed is still there, as far as it is still kept."""
    seen = buffer.peek(first, samples.shape[1])
    return np.array_equal(seen, samples[:, : seen.shape[1]])


def test_the_descriptor_has_no_name_and_goes_with_its_processes(buffer: TimelineBuffer) -> None:
    link = Path(f"/proc/self/fd/{buffer.fd}")
    if not link.exists():
        pytest.skip("this system has no /proc")
    assert "deleted" in os.readlink(link)
    assert not os.get_inheritable(buffer.fd)
