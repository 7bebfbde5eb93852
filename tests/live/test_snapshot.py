"""Snapshots: a fresh engine goes on with the same tokens, and refuses what is not its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from musicgen_rt.errors import CheckpointError
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.model.notes import Note
from tests.live.conftest import SHORT, EngineMaker

END = 130
TUNE = melody_from_notes([Note(60, 0.0, 0.5), Note(67, 0.5, 0.9)], loop_seconds=1.0)


def busy(engine: Engine) -> Engine:
    """A session with a bit of everything, and changes that are still to come."""
    engine.set_prompt("deep house", weight=0.6)
    engine.set_prompt("warm strings", 3, weight=0.5, ramp_frames=120)
    engine.set_parameter("seed", 12)
    engine.set_parameter("temperature", 0.9, at_frame=95)
    engine.set_negative_prompt("hiss", at_frame=100)
    engine.set_tempo(133.3, 3, at_frame=10)
    config = engine.model.config
    if config.kind == "melody" or config.frame_conditioning is not None:
        engine.set_melody(TUNE, at_frame=20)
    if config.frame_conditioning is not None:
        engine.set_attribute("bass", False, at_frame=25)
    return engine


def play(engine: Engine, end: int, chunk: int = 20) -> np.ndarray:
    parts = [np.zeros((engine.model.config.channels, 0), dtype=np.float32)]
    while engine.next_frame < end:
        parts.append(engine.step(min(chunk, end - engine.next_frame)).samples)
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    ("name", "with_cache"),
    [(name, True) for name in ("text", "stereo", "melody", "frame")]
    + [("text", False), ("melody", False)],
)
def test_a_fresh_engine_goes_on(
    name: str, with_cache: bool, engine_of: EngineMaker, tmp_path: Path
) -> None:
    engine = busy(engine_of(name))
    play(engine, 40)
    engine.set_memory(5, 20)
    play(engine, 87)
    engine.snapshot(tmp_path / "here", with_cache=with_cache)
    audio = play(engine, END)
    codes = engine.codes(0, END - 3)
    assert [path.name for path in tmp_path.iterdir()] == ["here"], "nothing half-written is left"

    fresh = engine_of(name)
    fresh.restore(tmp_path / "here")
    assert fresh.next_frame == 87
    assert fresh.timeline == engine.timeline
    assert np.abs(play(fresh, END) - audio).max() <= 1e-6
    assert np.array_equal(fresh.codes(0, END - 3), codes)
    assert fresh.windows_rolled == engine.windows_rolled
    # And back to before the snapshot was taken.
    for frame in (81, 30):
        fresh.rollback(frame)
        play(fresh, END, chunk=33)
        assert np.array_equal(fresh.codes(0, END - 3), codes)


@pytest.mark.parametrize("frame", [0, 50, 49, 51])
def test_at_the_edge_of_a_window(frame: int, engine_of: EngineMaker, tmp_path: Path) -> None:
    engine = busy(engine_of("text"))
    if frame:
        play(engine, frame)
    engine.snapshot(tmp_path / "here")
    engine.set_prompt("rain")  # after the snapshot: not in it
    fresh, expected = engine_of("text"), busy(engine_of("text"))
    fresh.restore(tmp_path / "here")
    play(fresh, 110)
    play(expected, 110)
    assert np.array_equal(fresh.codes(0, 107), expected.codes(0, 107))


def test_a_snapshot_in_mid_ramp_after_rows_changed(engine_of: EngineMaker, tmp_path: Path) -> None:
    engine = busy(engine_of("text"))
    engine.set_prompt("brass", 1, at_frame=90)
    engine.set_parameter("cfg", 1.0, ramp_frames=40, at_frame=92)
    play(engine, 100)
    engine.snapshot(tmp_path / "here")
    fresh = engine_of("text")
    fresh.restore(tmp_path / "here")
    slot = fresh.session.stream.caches.active
    assert slot is not None and slot.cache.rows == 4, "the cache is there"
    assert np.array_equal(play(fresh, 150), play(engine, 150))
    assert np.array_equal(fresh.codes(0, 147), engine.codes(0, 147))


def test_a_continuation_and_a_long_session(engine_of: EngineMaker, tmp_path: Path) -> None:
    engine = engine_of("text")
    engine.continue_codes(np.random.default_rng(0).integers(0, 64, (4, 70)))
    play(engine, 500, chunk=100)
    engine.snapshot(tmp_path / "here")
    fresh = engine_of("text")
    fresh.restore(tmp_path / "here")
    assert fresh.earliest_return == engine.earliest_return > 0
    play(fresh, 550)
    play(engine, 550)
    assert np.array_equal(fresh.codes(400, 547), engine.codes(400, 547))
    assert fresh.log() == engine.log()


def test_the_engine_that_was_restored_keeps_nothing_of_before(
    engine_of: EngineMaker, tmp_path: Path
) -> None:
    engine = busy(engine_of("text"))
    play(engine, 80)
    engine.snapshot(tmp_path / "here")
    expected = play(engine, 130)
    engine.set_prompt("something else", at_frame=100)
    play(engine, 190)
    engine.restore(tmp_path / "here")
    assert np.abs(play(engine, 130) - expected).max() <= 1e-6
    engine.reset()
    assert engine.next_frame == 0 and engine.timeline is None


@pytest.fixture(scope="module")
def snapshot(engine_of: EngineMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    engine = busy(engine_of("text"))
    play(engine, 70)
    path = tmp_path_factory.mktemp("snapshots") / "text"
    engine.snapshot(path)
    return path


def facts_of(path: Path) -> dict[str, object]:
    with safe_open(path, framework="pt") as file:
        facts: dict[str, object] = json.loads(file.metadata()["musicgen-rt"])
    return facts


def rewritten(path: Path, out: Path, facts: object, drop: str = "") -> Path:
    tensors = {name: t for name, t in load_file(path).items() if not drop or drop not in name}
    save_file(tensors, out, metadata={"musicgen-rt": json.dumps(facts)})
    return out


def assert_refused(engine: Engine, path: Path, reason: str) -> None:
    engine.reset()
    play(engine, 45)
    session = engine.session
    with pytest.raises(CheckpointError, match=reason):
        engine.restore(path)
    assert engine.session is session and engine.next_frame == 45
    play(engine, 60)  # crosses a roll: its caches are whole
    assert np.array_equal(engine.codes(0, 57), undisturbed(engine)), "the music goes on"


_undisturbed: dict[tuple[str, EngineOptions], np.ndarray] = {}


def undisturbed(engine: Engine) -> np.ndarray:
    """What an engine without any control plays: codes [K, 57]."""
    key = (engine.model.source, engine.options)
    if key not in _undisturbed:
        fresh = Engine(engine.model, engine.options)
        play(fresh, 60)
        _undisturbed[key] = fresh.codes(0, 57)
    return _undisturbed[key]


def test_another_checkpoint(engine_of: EngineMaker, snapshot: Path) -> None:
    assert_refused(engine_of("melody"), snapshot, "model.config.kind is text, expected melody")
    assert_refused(engine_of("stereo"), snapshot, r"num_codebooks is 4, expected 8")


def test_other_weights_of_the_same_shape(models: dict[str, MusicGen], snapshot: Path) -> None:
    lm = models["text"].lm
    kept = lm.final_norm.weight[3].clone()
    with torch.no_grad():
        lm.final_norm.weight[3] += 1.0
        try:
            with pytest.raises(CheckpointError, match="fingerprint"):
                Engine(models["text"], SHORT).restore(snapshot)
        finally:
            lm.final_norm.weight[3] = kept
    Engine(models["text"], SHORT).restore(snapshot)


def test_other_options(engine_of: EngineMaker, snapshot: Path) -> None:
    engine = engine_of("text", replace(SHORT, window_seconds=2.0))
    assert_refused(engine, snapshot, r"options.window_seconds is 1.0, expected 2.0")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_cut_short(share: float, engine_of: EngineMaker, snapshot: Path, tmp_path: Path) -> None:
    content = snapshot.read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
    assert_refused(engine_of("text"), tmp_path / "cut", "cut")


def test_files_that_are_no_snapshots(
    engine_of: EngineMaker, tiny_text: Path, tmp_path: Path
) -> None:
    engine = engine_of("text")
    assert_refused(engine, tmp_path / "none", "no such file")
    assert_refused(engine, tiny_text / "model.safetensors", "not a snapshot")
    (tmp_path / "text").write_text("hello, this is some text and no snapshot at all")
    assert_refused(engine, tmp_path / "text", "safetensors")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": "musicgen-rt session 99"}, "this version"),
        ({"frames": 71}, "damaged"),
        ({"frames": "x"}, "damaged"),
        ({"windows": [[0, 500, 0]]}, "damaged"),
        ({"score": {"tracks": {"cfg": {"before": -1, "changes": []}}}}, "0 to 30"),
        ({"score": {"tracks": {"evil": {"before": 1, "changes": []}}}}, "evil"),
        ({"score": None}, "damaged"),
        ({"timeline": {"segments": []}}, "timeline"),
        ({"cache_valid_from": "1"}, "damaged"),
    ],
)
def test_damaged_facts(
    changed: dict[str, object], reason: str, engine_of: EngineMaker, snapshot: Path, tmp_path: Path
) -> None:
    path = rewritten(snapshot, tmp_path / "damaged", facts_of(snapshot) | changed)
    assert_refused(engine_of("text"), path, reason)


@pytest.mark.parametrize("drop", ["codes", "given", "audio.0.", "cache.keys.1", "audio"])
def test_missing_tensors(drop: str, engine_of: EngineMaker, snapshot: Path, tmp_path: Path) -> None:
    path = rewritten(snapshot, tmp_path / "damaged", facts_of(snapshot), drop)
    assert_refused(engine_of("text"), path, "damaged")


def test_a_folder_that_is_not_there(engine_of: EngineMaker, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        engine_of("text").snapshot(tmp_path / "no" / "where")
