"""The checkpoint's codec on held-out clips, beside Opus at its lowest bit rate."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from musicgen_rt.evaluate.audio_distance import log_mel_distance_db, si_sdr_db
from musicgen_rt.evaluate.codec import evaluate_codec, held_out_clips
from musicgen_rt.evaluate.codec_report import HeldOutClip
from musicgen_rt.evaluate.pocket_judges import Watch
from musicgen_rt.evaluate.pocket_pieces import Samples
from musicgen_rt.model.codec_frames import FrameDecoder

# libsndfile's lowest: three times what a pocket codec takes, and the nearest that can be had.
OPUS_BITS_PER_SECOND = 6000
_LOWEST_BIT_RATE_LEVEL = 1.0
_OPUS_RATE_HZ = 48_000
_OPUS_CLIPS = 50


class _OneStream:
    """A checkpoint's codec as `evaluate_codec` takes it: audio [1, 1, N] and codes [1, K, T]."""

    def __init__(self, decoder: FrameDecoder) -> None:
        self._decoder = decoder

    def encode(self, audio: Tensor) -> Tensor:
        samples = audio[0].expand(self._decoder.channels, -1)
        return self._decoder.encode(samples, 0).cpu()[None]

    def decode(self, codes: Tensor) -> Tensor:
        return self._decoder.decode(codes[0]).cpu().mean(0)[None, None]


def evaluate_checkpoint_codec(decoder: FrameDecoder, clips: int, watch: Watch) -> dict[str, Any]:
    """`CodecReport` of the codec in a loaded checkpoint, its bit rate, and Opus beside it."""
    rate_hz, config = decoder.sample_rate_hz, decoder.codec.config
    heard = _watched(held_out_clips(clips, rate_hz), clips, watch)
    report = evaluate_codec(_OneStream(decoder), heard, config.codebook_size, decoder.hop_samples)
    bits = decoder.num_codebooks * math.log2(config.codebook_size) * decoder.frame_rate_hz
    opus_clips = min(clips, _OPUS_CLIPS)
    return {
        **asdict(report),
        "bits_per_second": round(bits),
        "opus": opus_figures(held_out_clips(opus_clips, rate_hz), opus_clips),
    }


def opus_figures(clips: Iterable[HeldOutClip], count: int) -> dict[str, Any] | None:
    """What Opus does to the same clips; None if this libsndfile has no Opus."""
    if "OPUS" not in soundfile.available_subtypes("OGG"):
        return None
    distances, ratios = [], []
    for clip in clips:
        decoded = through_opus(clip.samples, clip.rate_hz)
        distances.append(log_mel_distance_db(decoded, clip.samples, clip.rate_hz))
        ratios.append(si_sdr_db(decoded, clip.samples))
    return {
        "clips": count,
        "bits_per_second": OPUS_BITS_PER_SECOND,
        "log_mel_distance_db": round(float(np.mean(distances)), 4),
        "si_sdr_db": round(float(np.mean(ratios)), 4),
    }


def through_opus(samples: Samples, rate_hz: int) -> Samples:
    """Mono samples [N] encoded and decoded at the lowest bit rate."""
    file = io.BytesIO()
    fast = soxr.resample(samples, rate_hz, _OPUS_RATE_HZ)
    soundfile.write(
        file,
        fast,
        _OPUS_RATE_HZ,
        format="OGG",
        subtype="OPUS",
        compression_level=_LOWEST_BIT_RATE_LEVEL,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    slow = soxr.resample(decoded, _OPUS_RATE_HZ, rate_hz)
    padded: Samples = np.pad(slow, (0, max(0, len(samples) - len(slow))))[: len(samples)]
    return padded.astype(np.float32)


@torch.inference_mode()
def _watched(clips: Iterable[HeldOutClip], count: int, watch: Watch) -> Iterator[HeldOutClip]:
    for index, clip in enumerate(clips):
        watch("codec", index, count)
        yield clip
    watch("codec", count, count)
