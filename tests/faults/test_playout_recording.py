"""Disks that are full or slow: the recording suffers, the music does not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from bridge.playout.recorder import Recording
from tests.bridge.playout.child import EngineThread, Playout, new_buffer
from tests.bridge.playout.twin import sine

RATE_HZ = 48000


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_f39_when_the_disk_is_full_the_file_can_be_read_and_the_music_goes_on(
    tmp_path: Path, suffix: str
) -> None:
    """The operating system refuses to let the file grow."""
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system cannot limit the files of a running process")
    path = tmp_path / f"take{suffix}"
    buffer = new_buffer()
    with EngineThread(buffer, sine(220)), Playout(buffer, output="null") as playout:
        playout.wait_for("state", lambda m: m["state"] == "live")
        limit_bytes = 100_000
        limits = (limit_bytes, resource.RLIM_INFINITY)
        resource.prlimit(playout.process.pid, resource.RLIMIT_FSIZE, limits)
        playout.send(type="record", id=1, path=str(path))
        ended = playout.wait_for("recording", lambda m: not m["is_on"])
        beat = playout.wait_for("heartbeat")
        playout.wait_for("heartbeat", lambda m: m["reader_sample"] > beat["reader_sample"])
        assert playout.process.poll() is None
    buffer.close()
    assert ended["error"]
    assert path.stat().st_size <= limit_bytes
    samples, rate_hz = soundfile.read(path)
    assert rate_hz == RATE_HZ
    # The write that failed may have been done in part.
    assert len(samples) == pytest.approx(ended["samples"], abs=480)
    assert len(samples) > 10_000
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)


def _block(count: int, level: float = 0.5) -> NDArray[np.float32]:
    return np.random.default_rng(count).uniform(-level, level, (count, 2)).astype(np.float32)


def test_f40_a_disk_that_hangs_makes_nobody_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks pile up to a limit, then they are left out and counted; the length is kept."""
    is_released = threading.Event()
    is_writing = threading.Event()
    write = soundfile.SoundFile.write

    def hang(self: soundfile.SoundFile, samples: NDArray[np.float32]) -> None:
        is_writing.set()
        assert is_released.wait(100)
        write(self, samples)

    monkeypatch.setattr(soundfile.SoundFile, "write", hang)
    recording = Recording(tmp_path / "take.wav", RATE_HZ, 2)
    block = _block(RATE_HZ)
    for _ in range(40):
        recording.write(block)
    assert is_writing.wait(60)
    is_released.set()
    # Once there is room again, silence stands for what was left out.
    deadline = time.monotonic() + 30
    while recording._taken < 20 * RATE_HZ and time.monotonic() < deadline:
        recording.wait(0.01)
    recording.write(block)
    recording.stop()
    recording.wait(60)
    ended = recording.ended
    assert ended is not None and ended.error is None
    assert ended.samples == 41 * RATE_HZ
    assert 15 * RATE_HZ < ended.missing_samples <= 20 * RATE_HZ
    samples, _ = soundfile.read(tmp_path / "take.wav", dtype="float32")
    np.testing.assert_allclose(samples[-RATE_HZ:], block, atol=2**-23)
    assert (samples[-RATE_HZ - ended.missing_samples : -RATE_HZ] == 0).all()
