"""What streaming costs the codec: chunks as they come against all at once."""

from __future__ import annotations

import torch

from musicgen_rt.live.engine import DEFAULT_CHUNK_FRAMES
from musicgen_rt.model.musicgen import MusicGen
from musicgen_rt.offline.bench_figures import Clock, CodecFigures, Figure
from musicgen_rt.offline.bench_reference import Reference

_AUDIO_SECONDS = 4


@torch.inference_mode()
def measure_codec(
    model: MusicGen, reference: Reference | None, repetitions: int, clock: Clock
) -> CodecFigures:
    """Decode some seconds of random codes in each way, one after the other, several times."""
    codec = model.codec
    frames = round(_AUDIO_SECONDS * codec.frame_rate_hz)
    seconds = frames / codec.frame_rate_hz
    size = codec.codec.config.codebook_size
    codes = torch.randint(
        size, (codec.num_codebooks, frames), generator=torch.Generator().manual_seed(0)
    )
    streaming, batch, theirs = [], [], []
    for _ in range(repetitions + 1):
        begun = clock()
        codec.decode(codes).cpu()
        decoded = clock()
        state = codec.start()
        for chunk in codes.split(DEFAULT_CHUNK_FRAMES, dim=1):
            samples, state = codec.decode_chunk(state, chunk)
            samples.cpu()
        streamed = clock()
        batch.append(1000 * (decoded - begun) / seconds)
        streaming.append(1000 * (streamed - decoded) / seconds)
        if reference is not None:
            reference.decode(codes)
            theirs.append(1000 * (clock() - streamed) / seconds)
    chunked, at_once = Figure.of(streaming[1:]), Figure.of(batch[1:])
    other = Figure.of(theirs[1:]) if theirs else None
    return CodecFigures(
        chunk_frames=DEFAULT_CHUNK_FRAMES,
        streaming_ms_per_second=chunked,
        batch_ms_per_second=at_once,
        ratio=chunked.median / at_once.median,
        reference_batch_ms_per_second=other,
        reference_ratio=None if other is None else chunked.median / other.median,
    )
