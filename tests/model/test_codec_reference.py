"""The codec against two independent implementations: transformers and the encodec package.

The references have random weights, rescaled so that every layer works at unit level: the output
then hangs on each code, and errors relative to its peak mean something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from encodec.model import EncodecModel as PackageModel
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

from musicgen_rt.errors import CheckpointError, ParameterError
from musicgen_rt.model.codec import Codec, CodecConfig
from tests.model.test_codec_config import ENCODEC_24KHZ, ENCODEC_48KHZ, MUSICGEN_32KHZ

# Of the output's peak. Both sides sum thousands of float32 products, in different orders.
TOLERANCE = 1e-5

TINY: dict[str, Any] = {
    **MUSICGEN_32KHZ,
    "num_filters": 4,
    "hidden_size": 12,
    "codebook_size": 16,
    "target_bandwidths": [0.8],
}
VARIANTS: dict[str, dict[str, Any]] = {
    "musicgen": {},
    "stereo": {"audio_channels": 2},
    "causal": {"use_causal_conv": True},
    "causal trimmed on both sides": {"use_causal_conv": True, "trim_right_ratio": 0.3},
    "conv shortcuts, deep and dilated": {
        "use_conv_shortcut": True,
        "num_residual_layers": 3,
        "dilation_growth_rate": 3,
        "residual_kernel_size": 5,
    },
    "no residual layers": {"num_residual_layers": 0},
    "even kernels": {"kernel_size": 8, "last_kernel_size": 4, "residual_kernel_size": 2},
    "kernels of one": {"kernel_size": 1, "last_kernel_size": 1, "residual_kernel_size": 1},
    "zero padding": {"pad_mode": "constant"},
    "causal zero padding": {"pad_mode": "constant", "use_causal_conv": True},
    "repeated edge": {"pad_mode": "replicate", "kernel_size": 5},
    "odd ratios": {"upsampling_ratios": [7, 1, 3], "compress": 4, "target_bandwidths": [25.0]},
    "one LSTM layer": {"num_lstm_layers": 1},
}


def level_weights(model: nn.Module, run: Callable[[], object]) -> None:
    """Rescale each weight-normed convolution of `model` so that `run` finds it at unit level."""
    hooks = []
    for module in model.modules():
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
            hooks.append(module.register_forward_hook(_level))
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()


def _level(module: Any, inputs: object, output: Tensor) -> Tensor:
    gain = 1 / output.std()
    if hasattr(module, "weight_g"):
        module.weight_g.mul_(gain)
    elif hasattr(module, "parametrizations"):
        module.parametrizations.weight.original0.mul_(gain)
    else:
        module.weight.mul_(gain)
    module.bias.mul_(gain)
    return output * gain


def transformers_model(values: dict[str, Any], seed: int = 0) -> EncodecModel:
    torch.manual_seed(seed)
    config = EncodecConfig(**values)
    model = EncodecModel(config).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    codes = random_codes(config, batch=1, frames=8)
    level_weights(model.decoder, lambda: model.decoder(model.quantizer.decode(codes)))
    samples = torch.randn(1, config.audio_channels, 12 * config.hop_length)
    level_weights(model.encoder, lambda: model.encoder(samples))
    return model


def our_codec(model: EncodecModel, **options: Any) -> Codec:
    config = CodecConfig.from_json(model.config.to_diff_dict())
    return Codec.from_tensors(config, model.state_dict().__getitem__, **options)


def random_codes(config: EncodecConfig, batch: int, frames: int, seed: int = 1) -> Tensor:
    """Codes [K, B, T], as transformers' quantizer takes them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (config.num_quantizers, batch, frames)
    return torch.randint(0, config.codebook_size, shape, generator=generator)


@torch.inference_mode()
def reference_decode(model: EncodecModel, codes: Tensor) -> Tensor:
    """Codes [B, K, T] of one segment to samples [B, C, N]."""
    samples: Tensor = model._decode_frame(codes)
    return samples


def assert_close(ours: Tensor, reference: Tensor, tolerance: float = TOLERANCE) -> None:
    assert ours.shape == reference.shape
    peak = reference.abs().max()
    assert peak > 0.1
    assert (ours - reference).abs().max() <= tolerance * peak


@pytest.mark.parametrize("name", VARIANTS)
def test_decode_equals_transformers(name: str) -> None:
    model = transformers_model({**TINY, **VARIANTS[name]})
    codec = our_codec(model)
    codes = random_codes(model.config, batch=2, frames=13).transpose(0, 1)
    reference = reference_decode(model, codes)
    assert_close(codec.decode(codes), reference)
    other = reference_decode(model, codes.flip(0))
    assert (other - reference).std() > 0.5 * reference.std(), "the output must hang on the codes"


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["musicgen", "causal", "conv shortcuts, deep and dilated"])
def test_decode_of_a_few_frames_equals_transformers(name: str, frames: int) -> None:
    model = transformers_model({**TINY, **VARIANTS[name]})
    codes = random_codes(model.config, batch=1, frames=frames).transpose(0, 1)
    assert_close(our_codec(model).decode(codes), reference_decode(model, codes))


@pytest.mark.parametrize("samples", [1, 639, 640, 5000])
@pytest.mark.parametrize("name", VARIANTS)
def test_encode_equals_transformers(name: str, samples: int) -> None:
    model = transformers_model({**TINY, **VARIANTS[name]})
    codec = our_codec(model)
    audio = torch.randn(2, model.config.audio_channels, samples)
    for count in (1, codec.config.num_codebooks):
        with torch.inference_mode():
            embeddings = model.encoder(audio)
            reference = model.quantizer.encode(embeddings).transpose(0, 1)[:, :count]
        encoded = codec.encode(audio, count)
        assert encoded.scales is None
        assert torch.equal(encoded.codes, reference)


def test_fewer_codebooks_decode_as_in_transformers() -> None:
    model = transformers_model(TINY)
    codes = random_codes(model.config, batch=1, frames=6).transpose(0, 1)[:, :2]
    assert_close(our_codec(model).decode(codes), reference_decode(model, codes))


@pytest.mark.parametrize("values", [MUSICGEN_32KHZ, ENCODEC_24KHZ])
def test_full_size_equals_transformers(values: dict[str, Any]) -> None:
    model = transformers_model(values)
    codec = our_codec(model)
    codes = random_codes(model.config, batch=1, frames=12).transpose(0, 1)
    reference = reference_decode(model, codes)
    assert_close(codec.decode(codes), reference)
    with torch.inference_mode():
        again = model._encode_frame(reference, model.config.target_bandwidths[-1])[0]
    same = (codec.encode(reference).codes == again).float().mean()
    assert same > 0.99  # two entries of 2048 may be equally near up to rounding


def test_weight_norm_in_the_old_spelling() -> None:
    model = transformers_model(TINY)
    tensors = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    codec = Codec.from_tensors(CodecConfig.from_json(TINY), tensors.__getitem__)
    codes = random_codes(model.config, batch=1, frames=6).transpose(0, 1)
    assert_close(codec.decode(codes), reference_decode(model, codes))


def test_loading_leaves_the_callers_random_numbers_alone() -> None:
    model = transformers_model(TINY)
    before = torch.get_rng_state()
    our_codec(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_tensor_is_named() -> None:
    tensors = transformers_model(TINY).state_dict()
    del tensors["decoder.layers.3.conv.bias"]
    with pytest.raises(CheckpointError, match=r"decoder\.layers\.3\.conv\.bias is missing"):
        Codec.from_tensors(CodecConfig.from_json(TINY), tensors.__getitem__)


def test_tensor_of_another_shape_is_named() -> None:
    tensors = transformers_model(TINY).state_dict()
    tensors["quantizer.layers.1.codebook.embed"] = torch.zeros(16, 13)
    with pytest.raises(CheckpointError, match=r"layers\.1\.codebook.*\[16, 13\].*\[16, 12\]"):
        Codec.from_tensors(CodecConfig.from_json(TINY), tensors.__getitem__)


def test_bad_codes_and_samples_are_refused() -> None:
    codec = our_codec(transformers_model(TINY))
    with pytest.raises(ParameterError, match="5 codebooks, expected 1 to 4"):
        codec.decode(torch.zeros(1, 5, 3, dtype=torch.long))
    with pytest.raises(ParameterError, match="expected integers"):
        codec.decode(torch.zeros(1, 4, 3))
    with pytest.raises(ParameterError, match="scales"):
        codec.decode(torch.zeros(1, 4, 3, dtype=torch.long), torch.ones(1, 1))
    with pytest.raises(ParameterError, match=r"expected \[B, 1, N\]"):
        codec.encode(torch.zeros(1, 2, 640))
    with pytest.raises(ParameterError, match="9 codebooks"):
        codec.encode(torch.zeros(1, 1, 640), 9)


def test_decode_of_no_frames_is_empty() -> None:
    codec = our_codec(transformers_model(TINY))
    assert codec.decode(torch.zeros(2, 4, 0, dtype=torch.long)).shape == (2, 1, 0)


# --- the encodec package ------------------------------------------------------------------------


def package_model(**options: Any) -> PackageModel:
    """A random model of the encodec package; `options` are SEANet's, `normalize` and `segment`."""
    torch.manual_seed(0)
    normalize, segment = options.pop("normalize", False), options.pop("segment", None)
    shape = {"n_filters": 4, "dimension": 12, "ratios": [4, 2], **options}
    encoder = SEANetEncoder(**{k: v for k, v in shape.items() if k != "trim_right_ratio"})
    quantizer = ResidualVectorQuantizer(dimension=12, n_q=3, bins=16, kmeans_init=False)
    model = PackageModel(
        encoder,
        SEANetDecoder(**shape),
        quantizer,
        target_bandwidths=[3 * 4 * 1000 / 1000],
        sample_rate=8000,
        channels=shape.get("channels", 1),
        normalize=normalize,
        segment=segment,
    ).eval()
    _level_package(model)
    return model


def _level_package(model: PackageModel) -> None:
    for layer in model.quantizer.vq.layers:
        layer._codebook.embed.normal_()
    codes = torch.randint(0, model.quantizer.bins, (model.quantizer.n_q, 1, 8))
    level_weights(model.decoder, lambda: model.decoder(model.quantizer.decode(codes)))
    samples = torch.randn(1, model.channels, 4000)
    level_weights(model.encoder, lambda: model.encoder(samples))


PACKAGE_VARIANTS: dict[str, dict[str, Any]] = {
    "causal": {"causal": True},
    "no LSTM": {"lstm": 0},
    "true skip": {"true_skip": True, "lstm": 1},
    "deep": {"n_residual_layers": 2, "dilation_base": 3, "compress": 1},
    "zero padding": {"pad_mode": "constant", "kernel_size": 5, "last_kernel_size": 3},
    "trimmed": {"causal": True, "trim_right_ratio": 0.5},
    "group norm": {"norm": "time_group_norm", "channels": 2},
    "normalised": {"normalize": True},
}


@pytest.mark.parametrize("name", PACKAGE_VARIANTS)
def test_model_of_the_encodec_package(name: str) -> None:
    model = package_model(**PACKAGE_VARIANTS[name])
    codec = Codec.from_encodec_package(model)
    samples = torch.randn(2, codec.config.audio_channels, 777)
    with torch.inference_mode():
        (codes, scale) = model.encode(samples)[0]
        reference = model.decode([(codes, scale)])
    encoded = codec.encode(samples)
    assert torch.equal(encoded.codes, codes)
    assert_close(codec.decode(codes, encoded.scales), reference)


@pytest.mark.parametrize(
    "make", [PackageModel.encodec_model_24khz, PackageModel.encodec_model_48khz]
)
def test_full_size_model_of_the_encodec_package(make: Callable[..., PackageModel]) -> None:
    torch.manual_seed(0)
    model = make(pretrained=False)
    _level_package(model)
    model.set_target_bandwidth(6.0)
    codec = Codec.from_encodec_package(model)
    samples = torch.randn(1, model.channels, int(1.3 * model.sample_rate))
    with torch.inference_mode():
        frames = model.encode(samples)
        reference = model.decode(frames)
    codes = torch.cat([codes for codes, _ in frames], dim=2)
    encoded = codec.encode(samples, codes.shape[1])
    assert (encoded.codes == codes).float().mean() > 0.99
    assert_close(codec.decode(codes, encoded.scales), reference)


def test_model_with_a_final_activation_is_refused() -> None:
    model = package_model(causal=True)
    model.decoder = SEANetDecoder(n_filters=4, dimension=12, ratios=[4, 2], final_activation="Tanh")
    with pytest.raises(CheckpointError, match="Tanh"):
        Codec.from_encodec_package(model)


def test_model_with_an_unknown_norm_is_refused() -> None:
    with pytest.raises(CheckpointError, match="norm_type"):
        Codec.from_encodec_package(package_model(norm="none"))


def test_model_whose_codebooks_do_not_fit_its_bandwidths_is_refused() -> None:
    model = package_model()
    model.target_bandwidths = [6.0]
    with pytest.raises(CheckpointError, match="3 codebooks, expected 1"):
        Codec.from_encodec_package(model)


# --- segments -----------------------------------------------------------------------------------

SEGMENTED = {
    **ENCODEC_48KHZ,
    "sampling_rate": 8000,
    "num_filters": 4,
    "hidden_size": 12,
    "upsampling_ratios": [4, 2],
    "codebook_size": 16,
    "target_bandwidths": [12.0],
    "chunk_length_s": 0.05,
}


@pytest.mark.parametrize("values", [{}, {"overlap": 0.6}, {"normalize": False}])
@pytest.mark.parametrize("samples", [100, 400, 401 + 3 * 396, 5000])
def test_segments_equal_transformers(values: dict[str, Any], samples: int) -> None:
    model = transformers_model({**SEGMENTED, **values})
    codec = our_codec(model)
    config = codec.config
    assert config.segment_stride_samples is not None
    # transformers adds a last segment even where the one before it reaches the end: cut there.
    stride, size = config.segment_stride_samples, config.segment_samples
    assert size is not None
    segments = max(0, -(-(samples - size) // stride)) + 1
    samples = max(samples, (segments - 1) * stride + 1)
    audio = torch.randn(2, 2, samples)
    with torch.inference_mode():
        parts = [
            model._encode_frame(audio[:, :, i * stride : i * stride + size], 12.0)
            for i in range(segments)
        ]
        decoded = [model._decode_frame(codes, scale) for codes, scale in parts]
        reference = model._linear_overlap_add(decoded, stride)
    encoded = codec.encode(audio)
    assert torch.equal(encoded.codes, torch.cat([codes for codes, _ in parts], dim=2))
    if config.normalize:
        assert encoded.scales is not None
        scales = [scale for _, scale in parts if scale is not None]
        assert_close(encoded.scales, torch.cat(scales, dim=1))
    assert_close(codec.decode(encoded.codes, encoded.scales), reference)
