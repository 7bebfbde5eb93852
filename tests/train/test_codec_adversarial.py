"""Tuning a decoder: what stays, what changes, and that a run can be stopped."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_rt.errors import CheckpointError, MusicgenRTError, ParameterError
from musicgen_rt.evaluate.codec import main as evaluate_main
from musicgen_rt.train import checkpointing
from musicgen_rt.train.codec import CodecTrainConfig, train_codec
from musicgen_rt.train.codec_adversarial import DecoderTrainer, train_decoder
from musicgen_rt.train.codec_adversarial_config import (
    AdversarialConfig,
    DecoderOptimConfig,
    DecoderPoolConfig,
    DecoderTrainConfig,
)
from musicgen_rt.train.codec_coded_pool import CodedPool
from musicgen_rt.train.codec_discriminator import DiscriminatorConfig
from musicgen_rt.train.codec_model import CodecModel, CodecShape
from musicgen_rt.train.codec_pool import PoolConfig
from musicgen_rt.train.codec_probe import SiSdrGuard
from musicgen_rt.train.codec_saved import load_codec

RATE_HZ = 32_000
SHAPE = CodecShape(filters=2, latent_channels=4, codebooks=2, codebook_size=4)


def tone(seed: int) -> np.ndarray:
    time = np.arange(RATE_HZ // 2) / RATE_HZ
    hiss = 0.02 * np.random.default_rng(seed).standard_normal(len(time))
    hum = 0.5 * np.sin(2 * np.pi * (100 + 10 * (seed % 50)) * time)
    return (hum + hiss).astype(np.float32)


@pytest.fixture(scope="module")
def codec_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    pool = PoolConfig(clips=4, clip_seconds=0.5, segment_seconds=0.1)
    config = CodecTrainConfig(
        str(folder), 6, batch_rows=2, code_starts=(2,), threads=1, shape=SHAPE, pool=pool
    )
    train_codec(config, tone)
    return folder


def make_config(folder: Path, start: Path, steps: int = 6) -> DecoderTrainConfig:
    return DecoderTrainConfig(
        run_folder=str(folder),
        start=str(start),
        steps=steps,
        batch_rows=2,
        threads=1,
        report_steps=2,
        probe_steps=2,
        probe_clips=2,
        adversarial=AdversarialConfig(start=0.0, full=0.5),
        discriminator=DiscriminatorConfig(filters=2, fft_samples=(256, 128)),
        optim=DecoderOptimConfig(warmup_steps=2),
        pool=DecoderPoolConfig(clips=3, clip_seconds=0.5, segment_seconds=0.1, steps_per_clip=2),
    )


def test_only_the_decoder_changes(codec_run: Path, tmp_path: Path) -> None:
    train_decoder(make_config(tmp_path, codec_run), tone)
    before, after = load_codec(codec_run).model(), load_codec(tmp_path).model()
    theirs = before.state_dict()
    for name, tensor in after.state_dict().items():
        if name.startswith("decoder."):
            assert not torch.equal(tensor, theirs[name]), name
        else:
            assert torch.equal(tensor, theirs[name]), name
    live = load_codec(tmp_path).model(live=True)
    audio = torch.from_numpy(tone(7)[: 20 * 640])[None, None]
    assert torch.equal(after.encode(audio), before.encode(audio))
    assert torch.equal(live.encode(audio), before.encode(audio))
    assert not torch.equal(live.decode(before.encode(audio)), after.decode(before.encode(audio)))


def test_a_stopped_and_resumed_run_ends_like_an_unbroken_one(
    codec_run: Path, tmp_path: Path
) -> None:
    whole, broken, start = (tmp_path / name for name in ("whole", "broken", "start"))
    shutil.copytree(codec_run, start)
    train_decoder(make_config(whole, start), tone)
    sent: list[int] = []

    def stop_at_step_2(seed: int) -> np.ndarray:
        if seed >= 2_000_003 and not sent:
            sent.append(seed)
            os.kill(os.getpid(), signal.SIGTERM)
        return tone(seed)

    train_decoder(make_config(broken, start), stop_at_step_2)
    assert checkpointing.load_state(broken).values["step"] == 3
    # What it started from may be trained on, or be gone.
    shutil.rmtree(start)
    train_decoder(make_config(broken, start), tone)
    ours, theirs = (checkpointing.load_state(folder) for folder in (broken, whole))
    assert ours.values == theirs.values
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        assert torch.equal(tensor, theirs.tensors[name]), name
    parts = {name.split(".")[0] for name in ours.tensors}
    assert parts == {"model", "average", "discriminator", "optimizer"}
    assert {name.split(".")[1] for name in ours.tensors if name.startswith("optimizer")} == {
        "adamw",
        "discriminator",
    }


def test_figures_begin_with_those_of_the_start(codec_run: Path, tmp_path: Path) -> None:
    train_decoder(make_config(tmp_path, codec_run), tone)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 4, 6]
    assert all("probe_si_sdr_db" in row and "probe_high_band_db" in row for row in rows)
    assert "hinge" in rows[-1] and "features" in rows[-1] and "waveform_mse" in rows[-1]
    codec = load_codec(codec_run).model()
    trainer = DecoderTrainer(make_config(tmp_path, codec_run), codec, tone)
    assert trainer.look()["probe_si_sdr_db"] == pytest.approx(rows[0]["probe_si_sdr_db"], abs=1e-4)


def test_the_discriminator_learns_on_its_steps_only(codec_run: Path, tmp_path: Path) -> None:
    config = make_config(tmp_path, codec_run)
    trainer = DecoderTrainer(config, load_codec(codec_run).model(), tone)
    changes = []
    for _ in range(4):
        before = [p.detach().clone() for p in trainer.discriminator.parameters()]
        row = trainer.run_step()
        after = list(trainer.discriminator.parameters())
        changed = not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        changes.append((changed, "discriminator" in row))
    assert changes == [(True, True), (False, False)] * 2


def test_without_an_opponent_the_decoder_learns_alone(codec_run: Path, tmp_path: Path) -> None:
    config = replace(make_config(tmp_path, codec_run, 40), adversarial=AdversarialConfig(0.0, 0.0))
    trainer = DecoderTrainer(config, load_codec(codec_run).model(), tone)
    start = trainer.look()
    rows = [trainer.run_step() for _ in range(40)]
    assert not {"hinge", "features", "discriminator"} & set(rows[-1])
    assert trainer.look()["probe_si_sdr_db"] > start["probe_si_sdr_db"] + 0.1


def test_the_opponent_is_weakened_while_too_much_is_lost(codec_run: Path, tmp_path: Path) -> None:
    guard = SiSdrGuard(allowance_db=0.3)
    strengths = []
    for si_sdr_db in (9.0, 8.8, 8.6, 8.5, 8.8, 9.5, 9.5, 9.5, 9.5, 9.5, 9.5):
        guard.follow(si_sdr_db)
        strengths.append(guard.strength)
    assert strengths[:5] == pytest.approx([1, 1, 0.7, 0.49, 0.539])
    assert strengths[4:] == sorted(strengths[4:])
    weights = AdversarialConfig(hinge=0.2, features=0.4).weights(1.0, 0.5)
    assert weights == pytest.approx({"hinge": 0.1, "features": 0.2})
    trainer = DecoderTrainer(make_config(tmp_path, codec_run), load_codec(codec_run).model(), tone)
    assert trainer.look()["strength"] == 1.0
    trainer.guard.start_db = trainer.look()["probe_si_sdr_db"] + 0.3
    assert trainer.look()["strength"] == 0.7


def test_a_segment_sounds_as_it_does_within_its_clip() -> None:
    torch.manual_seed(0)
    codec = CodecModel(CodecShape(filters=3, latent_channels=4, codebook_size=16)).eval()
    pool = DecoderPoolConfig(clips=1, clip_seconds=0.5, segment_seconds=0.1)
    coded = CodedPool(pool, tone, codec, context_frames=4, first_seed=5)
    clip = coded.coded(5)
    audio = clip.gain * tone(5)
    whole = codec.decode(codec.encode(torch.from_numpy(audio).float()[None, None]))[0, 0]
    batch = coded.batch(0, rows=3)
    assert batch.codes.shape == (3, 4, 5 + 8) and batch.audio.shape == (3, 1, 5 * 640)
    for codes, segment in zip(batch.codes, batch.audio, strict=True):
        distances = [
            np.abs(segment[0].numpy() - audio[at : at + 3200]).max()
            for at in range(0, len(audio) - 3199, 640)
        ]
        at = int(np.argmin(distances)) * 640
        assert min(distances) < 1e-4
        heard = codec.decode(codes[None])[0, 0, 4 * 640 : -4 * 640]
        torch.testing.assert_close(heard, whole[at : at + 3200], atol=1e-5, rtol=1e-4)


def test_runs_are_compared_in_one_table(
    codec_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "tuned", tmp_path / "table.md"
    train_decoder(make_config(run, codec_run, steps=2), tone)
    capsys.readouterr()
    runs = [str(codec_run), str(run)]
    evaluate_main(["--compare", *runs, "--clips", "1", "--out", str(out)])
    table = capsys.readouterr().out
    assert table == out.read_text()
    names = [line.split("|")[1].strip() for line in table.splitlines()]
    assert names == ["codec", "---", codec_run.name, "tuned", "the original"]
    with pytest.raises(ParameterError, match="names 2 of the runs"):
        evaluate_main(["--compare", str(run), str(run)])


def test_what_cannot_be_is_refused(codec_run: Path, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", codec_run, steps=2)
    with pytest.raises(CheckpointError, match="is not a run folder"):
        train_decoder(replace(config, start=str(tmp_path / "none")), tone)
    train_decoder(config, tone)
    with pytest.raises(ParameterError, match="batch_rows"):
        train_decoder(replace(config, batch_rows=3), tone)
    with pytest.raises(ParameterError, match=r"adversarial\.full"):
        AdversarialConfig(start=0.5, full=0.2)
    with pytest.raises(ParameterError, match=r"lengthen pool\.clip_seconds"):
        train_decoder(config, lambda seed: tone(seed)[:3200])
    trainer = DecoderTrainer(config, load_codec(codec_run).model(), tone)
    with torch.no_grad():
        next(trainer.model.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(MusicgenRTError, match="of step 0 is nan"):
        trainer.run_step()
