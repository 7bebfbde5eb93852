"""The channels-last forward pass against the encodec package's own."""

import pytest
import torch
from encodec.modules import SEANetDecoder, SEANetEncoder

from musicgen_rt.errors import ParameterError
from musicgen_rt.train.codec_model import CodecModel, CodecShape

SHAPES = [
    CodecShape(filters=3, latent_channels=6, codebook_size=16),
    CodecShape(filters=2, ratios=(5, 4), latent_channels=4, codebook_size=8, codebooks=2),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_latents_and_audio_equal_the_package(shape: CodecShape) -> None:
    torch.manual_seed(0)
    model = CodecModel(shape).eval()
    assert isinstance(model.encoder, SEANetEncoder)
    assert isinstance(model.decoder, SEANetDecoder)
    audio = torch.randn(2, 1, 6 * shape.hop_samples)
    with torch.no_grad():
        latents = model.latents(audio)
        torch.testing.assert_close(latents, model.encoder(audio), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            model.synthesise(latents), model.decoder(latents), atol=1e-5, rtol=1e-4
        )
    assert latents.shape == (2, shape.latent_channels, 6)


def test_codes_equal_the_package() -> None:
    torch.manual_seed(1)
    shape = SHAPES[0]
    model = CodecModel(shape).eval()
    audio = torch.randn(1, 1, 8 * shape.hop_samples)
    codes = model.encode(audio)
    assert codes.shape == (1, shape.codebooks, 8)
    with torch.no_grad():
        vectors = model.encoder(audio)
        expected = model.quantizer.stages.vq.encode(vectors).transpose(0, 1)
        heard = model.decoder(model.quantizer.stages.vq.decode(expected.transpose(0, 1)))
    assert torch.equal(codes, expected)
    torch.testing.assert_close(model.decode(codes), heard, atol=1e-5, rtol=1e-4)


def test_a_part_of_a_frame_is_refused() -> None:
    with pytest.raises(ParameterError, match="multiple of the hop"):
        CodecModel(SHAPES[0]).latents(torch.zeros(1, 1, 641))


@pytest.mark.parametrize(
    ("field", "value"), [("codebook_size", 1000), ("ratios", (8, 7)), ("filters", 0)]
)
def test_impossible_shapes_are_refused(field: str, value: object) -> None:
    with pytest.raises(ParameterError):
        CodecShape(**{field: value})  # type: ignore[arg-type]
