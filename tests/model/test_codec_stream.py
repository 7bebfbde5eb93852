"""Streaming decode: any chunking gives the audio of transformers' batch decode, exactly."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import EncodecModel

from musicgen_rt.errors import ParameterError, UnsupportedError
from musicgen_rt.model.codec import Codec, CodecConfig, CodecState
from tests.model.test_codec_config import MUSICGEN_32KHZ
from tests.model.test_codec_reference import (
    SEGMENTED,
    TINY,
    VARIANTS,
    assert_close,
    our_codec,
    random_codes,
    reference_decode,
    transformers_model,
)

FRAMES = 23
# Small hops keep thousands of chunkings quick.
SMALL = {**TINY, "upsampling_ratios": [3, 2], "target_bandwidths": [90.0]}
STREAMED = {
    name: {**SMALL, **values, "target_bandwidths": [90.0]}
    for name, values in VARIANTS.items()
    if "ratios" not in name
} | {"three ratios": {**SMALL, "upsampling_ratios": [5, 1, 4], "target_bandwidths": [26.0]}}


@cache
def model_and_codec(name: str) -> tuple[EncodecModel, Codec]:
    model = transformers_model(STREAMED[name])
    return model, our_codec(model)


@cache
def codes_and_reference(name: str, frames: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    model, _ = model_and_codec(name)
    codes = random_codes(model.config, batch, frames).transpose(0, 1)
    return codes, reference_decode(model, codes)


def stream(codec: Codec, codes: Tensor, chunks: list[int]) -> tuple[Tensor, list[CodecState]]:
    """Decode in chunks of these sizes; also the state after each."""
    assert sum(chunks) == codes.shape[2]
    state = codec.start(codes.shape[0])
    parts, states, fed, emitted = [], [], 0, 0
    for chunk in chunks:
        samples, state = codec.decode_chunk(state, codes[:, :, fed : fed + chunk])
        fed += chunk
        emitted += samples.shape[2]
        assert emitted == codec.samples_ready(fed)
        assert state.frames == fed
        parts.append(samples)
        states.append(state)
    parts.append(codec.finish(state))
    assert emitted + parts[-1].shape[2] == codec.config.total_samples(fed)
    return torch.cat(parts, dim=2), states


def cut(frames: int, size: int) -> list[int]:
    return [min(size, frames - begin) for begin in range(0, frames, size)]


@pytest.mark.parametrize("size", [1, 2, 5, 10, 50])
@pytest.mark.parametrize("name", STREAMED)
def test_stream_equals_the_reference(name: str, size: int) -> None:
    codes, reference = codes_and_reference(name, FRAMES)
    _, codec = model_and_codec(name)
    assert_close(stream(codec, codes, cut(FRAMES, size))[0], reference)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(STREAMED)),
    chunks=st.lists(st.integers(0, 9), min_size=1, max_size=8),
)
def test_any_chunking_equals_the_reference(name: str, chunks: list[int]) -> None:
    codes, reference = codes_and_reference(name, 72)
    frames = sum(chunks)
    model, codec = model_and_codec(name)
    if frames:
        reference = reference_decode(model, codes[:, :, :frames])
        assert_close(stream(codec, codes[:, :, :frames], chunks)[0], reference)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("name", STREAMED)
def test_stream_of_a_few_frames(name: str, frames: int) -> None:
    codes, reference = codes_and_reference(name, frames)
    _, codec = model_and_codec(name)
    assert_close(stream(codec, codes, [1] * frames)[0], reference)


@cache
def full_size() -> tuple[EncodecModel, Codec]:
    model = transformers_model(MUSICGEN_32KHZ)
    return model, our_codec(model)


def test_stream_at_full_size() -> None:
    model, codec = full_size()
    codes = random_codes(model.config, batch=1, frames=22).transpose(0, 1)
    assert_close(stream(codec, codes, [10, 1, 11])[0], reference_decode(model, codes))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_stream_on_a_gpu_equals_the_reference() -> None:
    codes, reference = codes_and_reference("musicgen", FRAMES)
    codec = our_codec(model_and_codec("musicgen")[0]).to("cuda")
    samples = stream(codec, codes.cuda(), cut(FRAMES, 5))[0]
    assert_close(samples.cpu(), reference, tolerance=1e-4)


def test_stream_without_lstm_equals_its_own_batch_decode() -> None:
    # transformers cannot build this shape; the batch decode is held to the encodec package's.
    values = {**SMALL, "num_lstm_layers": 0}
    model, _ = model_and_codec("musicgen")
    shifted = {_without_lstm(n): t for n, t in model.state_dict().items() if ".lstm." not in n}
    codec = Codec.from_tensors(CodecConfig.from_json(values), shifted.__getitem__)
    codes, _ = codes_and_reference("musicgen", FRAMES)
    assert_close(stream(codec, codes, cut(FRAMES, 4))[0], codec.decode(codes))


def _without_lstm(name: str) -> str:
    """The name that a tensor of the tiny model has where there is no LSTM module."""
    part, _, rest = name.partition(".layers.")
    number, _, rest = rest.partition(".")
    lstm = {"decoder": 1, "encoder": 7}.get(part)
    if lstm is None or int(number) < lstm:
        return name
    return f"{part}.layers.{int(number) - 1}.{rest}"


def test_stream_of_nothing_is_empty() -> None:
    _, codec = model_and_codec("stereo")
    assert codec.finish(codec.start(3)).shape == (3, 2, 0)


def test_a_state_can_be_resumed_again_and_again() -> None:
    codes, reference = codes_and_reference("musicgen", FRAMES)
    model, codec = model_and_codec("musicgen")
    _, states = stream(codec, codes, [1] * FRAMES)
    other = codes.flip(0)
    for kept in (0, 3, 10, 21):
        state = states[kept]
        before = {name: tensor.clone() for name, tensor in state.tensors().items()}
        emitted = codec.samples_ready(state.frames)
        for future, whole in (
            (codes, reference),
            (other, None),
            (codes, reference),
        ):
            mixed = torch.cat((codes[:, :, : state.frames], future[:, :, state.frames :]), dim=2)
            expected = reference_decode(model, mixed) if whole is None else whole
            samples, after = codec.decode_chunk(state, mixed[:, :, state.frames :])
            tail = torch.cat((samples, codec.finish(after)), dim=2)
            assert_close(tail, expected[:, :, emitted:])
        for name, tensor in state.tensors().items():
            assert torch.equal(tensor, before[name]), name


def test_state_survives_a_round_trip_through_tensors() -> None:
    codes, reference = codes_and_reference("conv shortcuts, deep and dilated", FRAMES)
    _, codec = model_and_codec("conv shortcuts, deep and dilated")
    state = codec.start(2)
    parts = []
    for frame in range(FRAMES):
        samples, state = codec.decode_chunk(state, codes[:, :, frame : frame + 1])
        parts.append(samples)
        saved = {name: tensor.clone() for name, tensor in state.tensors().items()}
        state = codec.state_from_tensors(saved)
    assert_close(torch.cat((*parts, codec.finish(state)), dim=2), reference)


def test_state_is_small() -> None:
    _, codec = full_size()
    state = codec.decode_chunk(codec.start(), torch.zeros(1, 4, 30, dtype=torch.long))[1]
    stored = sum(t.untyped_storage().nbytes() for t in state.tensors().values())
    assert stored < 64 * 1024


def test_state_of_another_codec_is_refused() -> None:
    _, codec = model_and_codec("musicgen")
    _, other = model_and_codec("three ratios")
    codes = torch.zeros(1, 4, 5, dtype=torch.long)
    tensors = codec.decode_chunk(codec.start(), codes)[1].tensors()
    with pytest.raises(ParameterError, match="codec state"):
        other.state_from_tensors(tensors)
    with pytest.raises(ParameterError, match="frames"):
        codec.state_from_tensors({**tensors, "frames": torch.tensor(-1)})
    with pytest.raises(ParameterError, match=r"kept\.2.*missing"):
        codec.state_from_tensors({n: t for n, t in tensors.items() if n != "kept.2"})
    # As many frames as these states never hold.
    with pytest.raises(ParameterError, match=r"kept\.0 has shape"):
        codec.state_from_tensors({**tensors, "frames": torch.tensor(2)})


def test_state_of_another_kind_of_codec_is_refused() -> None:
    _, plain = model_and_codec("musicgen")
    cut_up, codes, _, _ = segmented(0.01)
    for codec, other in ((plain, cut_up), (cut_up, plain)):
        with pytest.raises(ParameterError, match="which this codec does not make"):
            codec.decode_chunk(other.start(2), codes[:, :, :5])
        with pytest.raises(ParameterError, match="which this codec does not make"):
            codec.finish(other.start(2))


def test_codes_of_another_batch_are_refused() -> None:
    _, codec = model_and_codec("musicgen")
    with pytest.raises(ParameterError, match=r"\[2, K, T\]"):
        codec.decode_chunk(codec.start(2), torch.zeros(1, 4, 5, dtype=torch.long))


def test_bfloat16_decoder_is_close_and_streams() -> None:
    model = transformers_model(TINY)
    codec = our_codec(model, decode_dtype=torch.bfloat16)
    codes = random_codes(model.config, batch=2, frames=FRAMES).transpose(0, 1)
    reference = reference_decode(model, codes)
    samples, states = stream(codec, codes, cut(FRAMES, 5))
    assert samples.dtype == torch.float32
    assert states[-1].tensors()["kept.0"].dtype == torch.bfloat16
    noise = (samples - reference).square().mean() / reference.square().mean()
    assert noise < 10 ** (-20 / 10)


# --- segments -----------------------------------------------------------------------------------


@cache
def segmented(overlap: float) -> tuple[Codec, Tensor, Tensor, Tensor]:
    """A codec in segments of 50 frames, codes of three and most of a fourth, scales, reference."""
    model = transformers_model({**SEGMENTED, "overlap": overlap})
    codec = our_codec(model)
    codes = random_codes(model.config, 2, 195).transpose(0, 1)
    scales = torch.rand(2, 4) + 0.5
    with torch.inference_mode():
        parts = [
            model._decode_frame(part, scales[:, i]) for i, part in enumerate(codes.split(50, dim=2))
        ]
        reference = model._linear_overlap_add(parts, model.config.chunk_stride or 0)
    return codec, codes, scales, reference


@pytest.mark.parametrize("overlap", [0.01, 0.3, 0.6])
@pytest.mark.parametrize("size", [1, 7, 50, 60, 120, 195])
def test_segments_stream_as_transformers_decodes(size: int, overlap: float) -> None:
    codec, codes, scales, reference = segmented(overlap)
    state = codec.start(2)
    parts, fed = [], 0
    for chunk in cut(195, size):
        begun = slice(-(-fed // 50), -(-(fed + chunk) // 50))
        samples, state = codec.decode_chunk(state, codes[:, :, fed : fed + chunk], scales[:, begun])
        fed += chunk
        parts.append(samples)
        assert sum(part.shape[2] for part in parts) == codec.samples_ready(fed)
        saved = {name: tensor.clone() for name, tensor in state.tensors().items()}
        state = codec.state_from_tensors(saved)
    parts += [codec.finish(state)]
    assert torch.equal(codec.finish(state), parts[-1])
    assert_close(torch.cat(parts, dim=2), reference)
    assert_close(codec.decode(codes, scales), reference)


def test_segments_without_scales_decode_at_unit_scale() -> None:
    codec, codes, scales, _ = segmented(0.01)
    assert torch.equal(codec.decode(codes), codec.decode(codes, torch.ones_like(scales)))


def test_scales_that_do_not_fit_the_segments_are_refused() -> None:
    codec, codes, scales, _ = segmented(0.01)
    with pytest.raises(ParameterError, match=r"expected \[2, 4\]"):
        codec.decode(codes, scales[:, :3])
    _, state = codec.decode_chunk(codec.start(2), codes[:, :, :10], scales[:, :1])
    with pytest.raises(ParameterError, match=r"expected \[2, 0\]"):
        codec.decode_chunk(state, codes[:, :, 10:20], scales[:, :1])


def test_segment_state_that_does_not_fit_is_refused() -> None:
    codec, codes, scales, _ = segmented(0.01)
    tensors = codec.decode_chunk(codec.start(2), codes[:, :, :60], scales[:, :2])[1].tensors()
    with pytest.raises(ParameterError, match="codes has shape"):
        codec.state_from_tensors({**tensors, "frames": torch.tensor(61)})
    with pytest.raises(ParameterError, match="missing"):
        codec.state_from_tensors({"frames": torch.tensor(0)})


def test_end_inside_the_overlap_keeps_the_segment_before_whole() -> None:
    # EnCodec's own overlap-add fails on this: the last segment ends before the one it follows.
    codec, codes, scales, _ = segmented(0.3)
    short = codec.decode(codes[:, :, :51], scales[:, :2])
    assert short.shape[2] == codec.config.total_samples(51) == 400
    whole = codec.decode(codes[:, :, :50], scales[:, :1])
    assert_close(short[:, :, :280], whole[:, :, :280])


def test_normalising_without_segments_cannot_be_streamed() -> None:
    whole = {"chunk_length_s": None, "overlap": None}
    codec = our_codec(transformers_model({**SEGMENTED, **whole}))
    with pytest.raises(UnsupportedError, match="use decode"):
        codec.start()
