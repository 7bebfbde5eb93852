"""Music without end: windows roll, and no frame, sample or byte is lost or piles up."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch

from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.chunk import Chunk
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.model.notes import Note
from tests.live.conftest import SHORT, EngineMaker

MELODY = melody_from_notes(
    [Note(60 + 4 * i, 0.3 * i, 0.3 * i + 0.25) for i in range(5)], loop_seconds=1.5
)
LONG_MEMORY = replace(SHORT, history_seconds=400.0)


def playing(engine: Engine) -> Engine:
    engine.set_prompt("deep house")
    engine.set_parameter("seed", 5)
    if engine.model.config.kind == "melody":
        engine.set_melody(MELODY)
    return engine


def render(engine: Engine, frames: int, chunk_frames: int) -> list[Chunk]:
    chunks = []
    while engine.next_frame < frames:
        chunks.append(engine.step(min(chunk_frames, frames - engine.next_frame)))
    return chunks


def assert_contiguous(chunks: list[Chunk]) -> None:
    position = 0
    for chunk in chunks:
        assert chunk.first_sample == position
        position += chunk.samples.shape[1]


@pytest.mark.parametrize("name", ["text", "stereo", "melody", "frame"])
def test_nothing_is_lost_in_many_windows(name: str, engine_of: EngineMaker) -> None:
    engine = playing(engine_of(name, LONG_MEMORY))
    chunks = render(engine, 350, 25)
    assert engine.windows_rolled >= 8
    assert_contiguous(chunks)
    codes = engine.codes(0, 347)
    assert codes.min() >= 0 and codes.max() < 64
    whole = engine.model.codec.decode(torch.from_numpy(codes)).numpy()
    streamed = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    assert streamed.shape[1] > 340 * 640
    assert np.abs(streamed - whole[:, : streamed.shape[1]]).max() <= 1e-5
    assert np.abs(streamed).max() > 0.01


def held() -> tuple[int, int]:
    """Objects that Python tracks, and bytes of tensors."""
    gc.collect()
    objects = gc.get_objects()
    storages = {
        one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
        for one in objects
        if type(one) is torch.Tensor
    }
    return len(objects), sum(storages.values())


def test_memory_stays_flat(engine_of: EngineMaker) -> None:
    engine = playing(engine_of("frame", replace(SHORT, history_seconds=2.0)))
    engine.set_tempo(120.0)
    position, found = 0, {0: held()}
    while engine.next_frame < 1600:
        chunk = engine.step(50)
        assert chunk.first_sample == position
        position += chunk.samples.shape[1]
        if engine.next_frame in (700, 1600):
            found[engine.next_frame] = held()
    assert engine.windows_rolled > 40
    assert found[1600][0] < found[700][0] + 300
    assert found[1600][1] < found[700][1] + 10_000
    assert len(engine.session.stream.windows) < 15
    assert len(engine.parts.pool.slots) <= 3


@pytest.mark.parametrize(("name", "sizes"), [("text", (1, 2, 5, 7, 10)), ("melody", (1, 7))])
def test_tokens_do_not_depend_on_chunks(
    name: str, sizes: tuple[int, ...], engine_of: EngineMaker
) -> None:
    expected = None
    for chunk_frames in (50, *sizes):
        engine = playing(engine_of(name))
        assert_contiguous(render(engine, 115, chunk_frames))
        codes = engine.codes(0, 112)
        expected = codes if expected is None else expected
        assert np.array_equal(codes, expected), f"chunks of {chunk_frames}"
    assert engine.windows_rolled >= 3


@pytest.mark.parametrize("name", ["text", "melody", "frame"])
def test_tokens_do_not_depend_on_when_a_window_is_prefilled(
    name: str, engine_of: EngineMaker
) -> None:
    made = []
    for chunk in (64, 7, 10_000):
        engine = playing(engine_of(name, replace(SHORT, prefill_chunk_frames=chunk)))
        render(engine, 130, 10)
        made.append(engine.codes(0, 127))
    assert np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])


def test_windows_are_prefilled_ahead(engine_of: EngineMaker) -> None:
    """When the roll comes, at most one chunk is left to read."""
    options = EngineOptions(window_seconds=4.0, context_seconds=3.0, prefill_chunk_frames=20)
    engine = playing(engine_of("text", options))
    lm, lengths = engine.model.lm, []
    prefill = lm.prefill

    def counted(tokens: torch.Tensor, *args: object) -> torch.Tensor:
        lengths.append((engine.next_frame, tokens.shape[1]))
        return prefill(tokens, *args)  # type: ignore[arg-type]

    lm.prefill = counted  # type: ignore[assignment]
    try:
        render(engine, 201, 1)
    finally:
        del lm.prefill
    assert sum(length for frame, length in lengths if frame <= 200) == 150
    assert sum(length for frame, length in lengths if frame == 200) <= 20
    assert max(length for _, length in lengths) == 20


def test_run_gives_exactly_the_seconds_asked_for(engine_of: EngineMaker) -> None:
    engine = playing(engine_of("text"))
    samples = [chunk.samples for chunk in engine.run(1.2345)]
    assert np.concatenate(samples, axis=1).shape == (1, round(1.2345 * 32000))


def test_a_memory_stands_in_front_of_later_windows(engine_of: EngineMaker) -> None:
    with_memory, without = playing(engine_of("frame")), playing(engine_of("frame"))
    for engine in (with_memory, without):
        engine.set_tempo(120.0)
        engine.step(60)
    with_memory.set_memory(0, 25)
    for engine in (with_memory, without):
        render(engine, 130, 10)
    windows = with_memory.session.stream.windows
    assert {window.memory_frames for window in windows if window.since > 60} == {25}
    assert not np.array_equal(with_memory.codes(0, 127), without.codes(0, 127))
    roll_at = next(window.since for window in windows if window.memory_frames)
    assert np.array_equal(with_memory.codes(0, roll_at - 3), without.codes(0, roll_at - 3))


@pytest.mark.parametrize(("bpm", "beats"), [(120.0, 4), (137.0, 3), (171.0, 2)])
def test_windows_roll_on_bars(bpm: float, beats: int, engine_of: EngineMaker) -> None:
    engine = playing(engine_of("text", EngineOptions(window_seconds=5.0, context_seconds=2.5)))
    engine.set_tempo(bpm, beats)
    render(engine, 500, 50)
    timeline = engine.timeline
    assert timeline is not None
    bars = set(timeline.bar_start_frames(0, 500))
    windows = engine.session.stream.windows
    assert len(windows) >= 3
    for window in windows:
        assert window.since in bars and window.start in bars
        assert window.position_of(window.since) <= 125
    assert engine.next_sample / 32000 * bpm / 60 == pytest.approx(engine.step(1).beat)


@pytest.mark.parametrize("name", ["text", "melody", "frame"])
def test_going_back_over_a_roll_keeps_what_was_read_before(
    name: str, engine_of: EngineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EngineOptions(window_seconds=4.0, context_seconds=1.6, prefill_chunk_frames=20)
    engine, fresh = playing(engine_of(name, options)), playing(engine_of(name, options))
    for one in (engine, fresh):
        render(one, 220, 20)
        since = one.session.stream.windows[-1].since
        assert 190 <= since <= 200
        one.rollback(since - 2)
        one.set_parameter("temperature", 0.8)
    fresh.parts.pool.keep_only(None)  # it knows of nothing but its codes
    read: dict[Engine, int] = {}
    prefill = type(engine.model.lm).prefill

    def counted(lm: object, tokens: torch.Tensor, *args: object) -> torch.Tensor:
        read[one] = read.get(one, 0) + tokens.shape[-1]
        return prefill(lm, tokens, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(engine.model.lm), "prefill", counted)
    for one in (engine, fresh):
        render(one, 220, 20)
        assert one.session.stream.windows[-1].since == since
    assert read[engine] <= 20 < 70 < read[fresh]
    np.testing.assert_array_equal(engine.codes(130, 216), fresh.codes(130, 216))
