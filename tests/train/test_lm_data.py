"""Encoded clips on the disk, and the windows that are drawn from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer, EncodecModel

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.offline.audio_file import AudioWriter
from musicgen_rt.train.lm_attributes import attribute_states
from musicgen_rt.train.lm_config import BatchConfig, ConditionShape, DropConfig
from musicgen_rt.train.lm_data import TextReading, WindowSampler
from musicgen_rt.train.lm_encode import EncodeConfig, encode_clips
from musicgen_rt.train.lm_records import NO_TEMPO, ClipLibrary
from musicgen_rt.train.music import captions, export, frame_labels, generate_clip
from musicgen_rt.train.text_encoder import generator_names
from tests.train.lm_tiny import random_clip, write_clips, write_codec

ATTRIBUTES = ("drums", "bass", "lead")


def sampler(
    folder: Path, batch: BatchConfig | None = None, drop: DropConfig | None = None
) -> WindowSampler:
    return WindowSampler(
        ClipLibrary(folder),
        batch or BatchConfig(rows=4, window_frames=40),
        drop or DropConfig(),
        ATTRIBUTES,
        TextReading(ByT5Tokenizer(), 160, generator_names()),
        seed=3,
    )


def test_a_shard_gives_back_what_was_written(tmp_path: Path) -> None:
    write_clips(tmp_path, 5)
    library = ClipLibrary(tmp_path)
    assert [clip.name for clip in library.clips] == list("01234")
    assert library.frames == 5 * 260 and library.num_codebooks == 4
    for index in (0, 4):
        expected = random_clip(index)
        codes, truth = library.window(index, 30, 50)
        assert codes.dtype == np.uint16 and np.array_equal(codes, expected.codes[:, 30:80])
        for name, values in vars(truth).items():
            assert np.array_equal(values, getattr(expected.truth, name)[..., 30:80]), name
        assert library.clips[index].captions == expected.captions
        assert library.clips[index].facts == expected.facts


def test_a_damaged_shard_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no shard-"):
        ClipLibrary(tmp_path)
    write_clips(tmp_path, 1)
    shard = tmp_path / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="shard-00000"):
        ClipLibrary(tmp_path)


def test_a_batch_depends_on_the_step_and_the_process_alone(tmp_path: Path) -> None:
    write_clips(tmp_path)
    walked, jumped = sampler(tmp_path), sampler(tmp_path)
    walked.windows(0)
    first, again = walked.windows(7), jumped.windows(7)
    assert torch.equal(first.codes, again.codes)
    assert torch.equal(first.frames.pitch_class, again.frames.pitch_class)
    assert torch.equal(first.text.ids, again.text.ids)
    assert not torch.equal(first.codes, walked.windows(8).codes)
    assert not torch.equal(first.codes, walked.windows(7, process=1).codes)


def test_windows_begin_on_bars_at_the_start_and_anywhere(tmp_path: Path) -> None:
    write_clips(tmp_path)
    none = DropConfig(0, 0, 0, 0, 0, 0)

    def first_phases(bars: float, start: float) -> tuple[np.ndarray, np.ndarray]:
        drawn = sampler(tmp_path, BatchConfig(50, 40, bars, start), none).windows(0)
        # A frame's share of a bar: a bar's first frame is at most that far into it.
        share = drawn.frames.bpm[:, 0] / 60 / 4 / 50
        return drawn.frames.bar_phase[:, 0].numpy(), share.numpy()

    phases, share = first_phases(1.0, 0.0)
    assert (phases <= share).all()
    phases, share = first_phases(0.0, 0.0)
    assert 0.2 < (phases > 0.5).mean() < 0.8
    phases, _ = first_phases(0.0, 1.0)
    starts = {float(random_clip(seed).truth.bar_phase[0]) for seed in range(4)}
    assert set(map(float, phases)) <= starts


def test_conditions_are_dropped_as_often_as_asked(tmp_path: Path) -> None:
    write_clips(tmp_path)
    rows, drop = 3000, DropConfig(0.2, 0.1, 0.3, 0.4, 0.25, 0.0)
    batch = sampler(tmp_path, BatchConfig(rows, 8), drop).windows(0)
    frames = batch.frames
    has_clock = frames.has_clock.any(1)
    has_chroma = (frames.pitch_class != 13).any(1)
    has_role = (frames.attributes != 2).any(2)  # [B, A]

    def near(share: float) -> Any:
        return pytest.approx(share, abs=0.03)

    assert batch.has_text.float().mean() == near(0.75 * 0.8)
    assert has_clock.float().mean() == near(0.75 * 0.9)
    assert has_chroma.float().mean() == near(0.75 * 0.7)
    assert all(share == near(0.75 * 0.6) for share in has_role.float().mean(0).tolist())
    # Independent but for those that lose everything.
    both = (has_clock & has_chroma & ~has_role[:, 0] & ~batch.has_text).float().mean()
    assert both == near(0.75 * 0.9 * 0.7 * 0.4 * 0.2)


def test_conditions_come_and_go_within_a_window(tmp_path: Path) -> None:
    write_clips(tmp_path)
    drop = DropConfig(0, 0, 0, 0, 0, frames=1.0)
    has_clock = sampler(tmp_path, BatchConfig(500, 40), drop).windows(0).frames.has_clock
    partly = has_clock.any(1) & ~has_clock.all(1)
    assert partly.float().mean() > 0.9
    assert 0.3 < has_clock[:, 0].float().mean() < 0.7


def test_texts_are_byt5_tokens_and_targets_are_stated_facts(tmp_path: Path) -> None:
    write_clips(tmp_path, 1)
    text = sampler(tmp_path).texts(0, 2)
    assert bytes(int(token) - 3 for token in text.ids[0, :-1]).decode() == "house, 100 bpm"
    assert text.ids[0, -1] == 1 and bool(text.mask.all())
    names, targets = generator_names(), text.targets
    assert targets is not None
    assert names.tempi[int(targets.bpm[0])] == 100 and float(targets.bpm_weight[0]) == 1.0
    assert names.styles[int(targets.style[0])] == "house"
    assert names.keys[int(targets.key[0])] == "A minor"
    assert 0 < float(targets.key_weight[0]) < 1, "the key is known but not stated"
    assert targets.roles[0].tolist() == [1, 0, -1, -1, -1]
    assert float(targets.roles_weight[0, 2]) == 0.0


def test_a_window_longer_than_every_clip_is_refused(tmp_path: Path) -> None:
    write_clips(tmp_path)
    with pytest.raises(ParameterError, match="window_frames is 261"):
        sampler(tmp_path, BatchConfig(1, 261))


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_codec(tmp_path_factory.mktemp("codec"))


def test_generated_clips_are_encoded_with_their_truth(codec: Path, tmp_path: Path) -> None:
    config = EncodeConfig(
        str(tmp_path / "a"), str(codec), clips=3, first_seed=5, clip_seconds=2.0,
        captions_per_clip=2, clips_per_shard=2, workers=0,
    )  # fmt: skip
    encode_clips(config, lambda text: None)
    library = ClipLibrary(tmp_path / "a")
    assert [clip.name for clip in library.clips] == ["5", "6", "7"]
    clip = generate_clip(6, 2.0)
    codes, truth = library.window(1, 0, 96)
    reference = EncodecModel.from_pretrained(codec).eval()
    with torch.no_grad():
        expected = reference.encode(torch.from_numpy(clip.samples)[None, None]).audio_codes[0, 0]
    # The last four frames were coded with the silence after the clip in view.
    assert library.clips[1].frames == expected.shape[1] - 4
    assert np.array_equal(codes, expected[:, :96].numpy())
    labels = frame_labels(clip.truth, 96)
    assert np.array_equal(truth.bar_phase, labels.bar_phase)
    assert np.array_equal(truth.pitch_class, labels.lead_pitch_class)
    assert np.array_equal(truth.roles[0], labels.drums)
    texts = [caption.text for caption in captions(clip.truth, 6, 2)]
    assert [caption.text for caption in library.clips[1].captions] == texts


def test_encoding_goes_on_where_it_stopped(codec: Path, tmp_path: Path) -> None:
    def config(clips: int) -> EncodeConfig:
        return EncodeConfig(
            str(tmp_path), str(codec), clips=clips, clip_seconds=1.0, captions_per_clip=1,
            clips_per_shard=1, workers=0,
        )  # fmt: skip

    encode_clips(config(1), lambda text: None)
    first = tmp_path / "shard-00000.safetensors"
    written = first.stat().st_mtime_ns
    encode_clips(config(2), lambda text: None)
    assert first.stat().st_mtime_ns == written
    assert len(ClipLibrary(tmp_path).clips) == 2
    other = EncodeConfig(str(tmp_path), str(codec), clips=2, first_seed=1, workers=0)
    with pytest.raises(ParameterError, match="first_seed"):
        encode_clips(other, lambda text: None)


def test_a_folder_of_audio_is_read_with_what_lies_beside_it(codec: Path, tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    clip = generate_clip(3, 4.0)
    export(clip, audio, "generated")
    for name in ("annotated", "plain"):
        with AudioWriter(audio / f"{name}.wav", 32_000, 1) as writer:
            writer.write(clip.samples[None, :64_000])
    (audio / "annotated.txt").write_text("a slow waltz\nwaltz\n", encoding="utf-8")
    beats = [0.1 + 0.5 * beat for beat in range(4)]
    facts = {"beats": beats, "downbeats": [0.1, 1.6], "drums": False, "bpm": 120}
    (audio / "annotated.json").write_text(json.dumps(facts), encoding="utf-8")
    config = EncodeConfig(
        str(tmp_path / "out"), str(codec), audio=str(audio), clip_seconds=2.0, workers=0
    )
    encode_clips(config, lambda text: None)
    library = ClipLibrary(tmp_path / "out")
    by_name = {clip.name: index for index, clip in enumerate(library.clips)}
    assert set(by_name) == {"annotated.wav@0", "generated.wav@0", "generated.wav@2", "plain.wav@0"}
    _, truth = library.window(by_name["annotated.wav@0"], 0, 96)
    # Beat 1 of a bar of three lies at 0.6 s, which is frame 30; before 0.1 s nothing is known.
    assert truth.bar_phase[30] == pytest.approx(1 / 3, abs=1e-5)
    assert (truth.bpm[:5] == NO_TEMPO).all() and truth.bpm[30] == pytest.approx(120)
    assert (truth.beats_per_bar == 3).all() and (truth.roles[0] == 0).all()
    stated = library.clips[by_name["annotated.wav@0"]].captions
    assert [caption.text for caption in stated] == ["a slow waltz", "waltz"]
    _, later = library.window(by_name["generated.wav@2"], 0, 90)
    labels = frame_labels(clip.truth, 90, 2.0)
    assert np.array_equal(later.bar_phase, labels.bar_phase)
    _, nothing = library.window(by_name["plain.wav@0"], 0, 96)
    assert (nothing.bpm == NO_TEMPO).all() and (nothing.roles == 2).all()


def test_beats_that_nobody_gave_are_tracked(codec: Path, tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    audio, rng = tmp_path / "audio", np.random.default_rng(0)
    audio.mkdir()
    samples = 0.001 * rng.standard_normal((1, 8 * 32_000)).astype(np.float32)
    for beat in range(16):
        start = round((0.25 + beat * 0.5) * 32_000)
        time = np.arange(3200) / 32_000
        # The downbeats are low.
        tone = np.sin(2 * np.pi * (80 if beat % 4 == 2 else 1500) * time)
        samples[0, start : start + 3200] += (0.5 * tone * np.exp(-time * 40)).astype(np.float32)
    with AudioWriter(audio / "click.wav", 32_000, 1) as writer:
        writer.write(samples)
    config = EncodeConfig(
        str(tmp_path / "out"), str(codec), audio=str(audio), tracks_beats=True, workers=0
    )
    encode_clips(config, lambda text: None)
    library = ClipLibrary(tmp_path / "out")
    _, truth = library.window(0, 150, 150)
    assert float(np.median(truth.bpm)) == pytest.approx(120, rel=0.02)
    # A downbeat lies at 0.25 + 6 * 0.5 = 3.25 s: 12.5 frames into the window.
    wraps = 150 + np.flatnonzero(np.diff(truth.bar_phase) < -0.5) + 1
    assert min(abs(wraps / 50 - 3.25)) < 0.06


def test_styles_are_told_together_and_half_of_the_time_alone(tmp_path: Path) -> None:
    write_clips(tmp_path)
    names = ("drums", "house", "techno", "rock")
    drop = DropConfig(0, 0, 0, attribute=0.4, everything=0.0, frames=0.0)
    reading = TextReading(ByT5Tokenizer(), 160, generator_names())
    drawn = WindowSampler(
        ClipLibrary(tmp_path), BatchConfig(2000, 8), drop, names, reading, seed=3
    ).windows(0)
    first = drawn.frames.attributes[:, :, 0]
    assert (drawn.frames.attributes[:, 1:] == first[:, 1:, None]).all()
    house, others = first[:, 1], first[:, 2:]
    assert set(house.tolist()) == {1, 2}, "these clips are house"
    assert (house == 1).float().mean() == pytest.approx(0.6, abs=0.03)
    assert (others[house == 2] == 2).all(), "a style is not told by what it is not"
    assert (others[:, 0] == others[:, 1]).all()
    told = (others[house == 1, 0] == 0).float().mean()
    assert told == pytest.approx(0.5, abs=0.04)


def test_a_clip_without_a_style_tells_none_and_a_strange_name_is_refused() -> None:
    truth = random_clip(0).truth
    states = attribute_states(truth, {}, ("bass", "house"))
    assert np.array_equal(states[0], truth.roles[1])
    assert (states[1] == 2).all()
    with pytest.raises(ParameterError, match=r"'drum'.*drum_and_bass"):
        ConditionShape(attributes=("drum",))
