"""`FrameDecoder`, the engine's view of the codec: channels, checks, continuation prompts."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from torch import Tensor

from musicgen_rt.errors import NonFiniteError, ParameterError, UnsupportedError
from musicgen_rt.model.codec_frames import ENCODER_LOOKAHEAD_FRAMES, FrameDecoder
from musicgen_rt.model.codec_stereo import deinterleave, interleave
from tests.model.test_codec_reference import (
    SEGMENTED,
    TINY,
    assert_close,
    our_codec,
    random_codes,
    reference_decode,
    transformers_model,
)


def decode_in_chunks(decoder: FrameDecoder, codes: Tensor, size: int) -> Tensor:
    state = decoder.start()
    parts = []
    for chunk in codes.split(size, dim=1):
        samples, state = decoder.decode_chunk(state, chunk)
        parts.append(samples)
    return torch.cat((*parts, decoder.finish(state)), dim=1)


def test_interleaving_is_that_of_audiocraft() -> None:
    codes = torch.arange(2 * 8 * 3).view(2, 8, 3)
    rows = deinterleave(codes, 2)
    # audiocraft's InterleaveStereoCompressionModel splits by this pattern.
    assert torch.equal(rows, rearrange(codes, "b (k c) t -> (b c) k t", c=2))
    assert rows[0, :, 0].tolist() == [0, 6, 12, 18]
    assert torch.equal(interleave(rows, 2), codes)


def test_uneven_interleaving_is_refused() -> None:
    with pytest.raises(ParameterError, match="7 codebooks for 2 channels"):
        deinterleave(torch.zeros(1, 7, 3), 2)
    with pytest.raises(ParameterError, match="3 rows for 2 channels"):
        interleave(torch.zeros(3, 4, 3), 2)


def test_mono() -> None:
    model = transformers_model(TINY)
    decoder = FrameDecoder(our_codec(model))
    codes = random_codes(model.config, 1, 17)[:, 0]
    reference = reference_decode(model, codes[None])[0]
    assert (decoder.num_codebooks, decoder.channels, decoder.hop_samples) == (4, 1, 640)
    assert (decoder.sample_rate_hz, decoder.frame_rate_hz) == (32_000, 50.0)
    assert decoder.lookahead_frames == 4
    assert_close(decoder.decode(codes), reference)
    assert_close(decode_in_chunks(decoder, codes, 5), reference)


def test_two_channels_run_a_mono_codec_once_each() -> None:
    model = transformers_model(TINY)
    decoder = FrameDecoder(our_codec(model), channels=2)
    left, right = random_codes(model.config, 2, 17).unbind(1)
    codes = torch.stack((left, right), dim=1).flatten(0, 1)  # 1L 1R 2L 2R ...
    reference = torch.cat([reference_decode(model, side[None])[0] for side in (left, right)])
    assert decoder.num_codebooks == 8
    assert_close(decoder.decode(codes), reference)
    assert_close(decode_in_chunks(decoder, codes, 3), reference)


def test_codec_of_two_channels_runs_once() -> None:
    model = transformers_model({**TINY, "audio_channels": 2})
    decoder = FrameDecoder(our_codec(model), channels=2)
    codes = random_codes(model.config, 1, 9)[:, 0]
    assert decoder.num_codebooks == 4
    assert_close(decode_in_chunks(decoder, codes, 2), reference_decode(model, codes[None])[0])


def test_segmented_codec_streams() -> None:
    model = transformers_model({**SEGMENTED, "normalize": False})
    decoder = FrameDecoder(our_codec(model), channels=2)
    codes = random_codes(model.config, 1, 120)[:, 0]
    with torch.inference_mode():
        parts = [model._decode_frame(part[None]) for part in codes.split(50, dim=1)]
        reference = model._linear_overlap_add(parts, model.config.chunk_stride or 0)[0]
    assert_close(decode_in_chunks(decoder, codes, 7), reference)


@pytest.mark.parametrize(("own", "wanted"), [(2, 1), (2, 4), (1, 0)])
def test_other_channel_counts_are_refused(own: int, wanted: int) -> None:
    codec = our_codec(transformers_model({**TINY, "audio_channels": own}))
    with pytest.raises(UnsupportedError, match="channels"):
        FrameDecoder(codec, wanted)


def test_normalising_codec_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="normalize"):
        FrameDecoder(our_codec(transformers_model(SEGMENTED)), 2)


def test_bad_codes_are_refused() -> None:
    decoder = FrameDecoder(our_codec(transformers_model(TINY)), channels=2)
    with pytest.raises(ParameterError, match=r"expected integers of shape \[8, n\]"):
        decoder.decode(torch.zeros(4, 3, dtype=torch.long))
    special = torch.zeros(8, 3, dtype=torch.long)
    special[5, 1] = 16
    with pytest.raises(ParameterError, match=r"0 to 16, expected 0 to 15.*special token"):
        decoder.decode_chunk(decoder.start(), special)


def test_samples_that_are_not_finite_name_their_frame_and_leave_the_state() -> None:
    model = transformers_model(TINY)
    codec = our_codec(model)
    decoder = FrameDecoder(codec)
    codes = random_codes(model.config, 1, 30)[:, 0].clamp(max=14)
    reference = reference_decode(model, codes[None])[0]
    codec.quantizer.codebooks[0, 15, 0] = torch.nan
    _, state = decoder.decode_chunk(decoder.start(), codes[:, :20])
    poisoned = codes[:, 20:].clone()
    poisoned[0, 4] = 15  # frame 24 is heard from the end of frame 20 on: the look-ahead
    with pytest.raises(NonFiniteError) as caught:
        decoder.decode_chunk(state, poisoned)
    assert caught.value.where == "samples"
    assert caught.value.frame == 20
    with pytest.raises(NonFiniteError):
        decoder.decode(torch.cat((codes[:, :20], poisoned), dim=1))
    # An unfinished stream ends in the poisoned frame: only the tail is affected.
    _, late = decoder.decode_chunk(state, poisoned[:, :4])
    samples, after = decoder.decode_chunk(late, torch.zeros(4, 0, dtype=torch.long))
    assert samples.shape == (1, 0)
    assert torch.isfinite(decoder.finish(after)).all()
    again, after = decoder.decode_chunk(state, codes[:, 20:])
    tail = torch.cat((again, decoder.finish(after)), dim=1)
    assert_close(tail, reference[:, decoder.samples_ready(20) :])


def test_prompt_is_encoded_without_its_last_frames() -> None:
    model = transformers_model(TINY)
    decoder = FrameDecoder(our_codec(model), channels=2)
    audio = torch.randn(2, 20 * 640 - 100)
    with torch.inference_mode():
        sides = model.quantizer.encode(model.encoder(audio[:, None]))  # [K, 2, T]
    reference = sides.flatten(0, 1)  # 1L 1R 2L 2R ...
    codes = decoder.encode(audio)
    assert codes.shape == (8, 20 - ENCODER_LOOKAHEAD_FRAMES)
    assert torch.equal(codes, reference[:, :16])
    assert torch.equal(decoder.encode(audio, drop_tail_frames=0), reference)


def test_what_follows_a_prompt_does_not_change_its_codes() -> None:
    # This is why the last frames are dropped: they alone depend on what comes after.
    decoder = FrameDecoder(our_codec(transformers_model(TINY)))
    audio = torch.randn(1, 30 * 640)
    prompt = decoder.encode(audio[:, : 20 * 640])
    assert torch.equal(decoder.encode(audio)[:, :16], prompt)
    # ... and of the frames dropped, some do differ.
    whole = decoder.encode(audio[:, : 20 * 640], drop_tail_frames=0)
    assert not torch.equal(decoder.encode(audio)[:, :20], whole)


def test_bad_prompts_are_refused() -> None:
    decoder = FrameDecoder(our_codec(transformers_model(TINY)))
    with pytest.raises(ParameterError, match=r"expected \[1, N\]"):
        decoder.encode(torch.zeros(2, 64_000))
    with pytest.raises(ParameterError, match="more than 2560 samples"):
        decoder.encode(torch.zeros(1, 4 * 640))
    with pytest.raises(ParameterError, match="frames"):
        decoder.encode(torch.zeros(1, 6400), drop_tail_frames=-1)
