"""Write the reference files of the tests of audiocraft checkpoints: what audiocraft computes.

    PYTHONPATH=DEPS python scripts/make_audiocraft_fixtures.py --audiocraft CHECKOUT \\
        --out tests/data

CHECKOUT is a checkout of facebookresearch/audiocraft at 896ec7c4 (1.4.0a2); DEPS has omegaconf 2.3,
einops 0.8 and julius 0.2. What audiocraft imports besides and does not need here is replaced by
empty modules, and xformers' attention by torch's. Models are built by audiocraft's own builders
from its own configuration files with small sizes, get random weights and run in float32 on a CPU.
Each file holds the weights, the configurations as a checkpoint has them, the inputs and what came
out. T5 is tiny and random too, with ByT5's tokens, which need no vocabulary file.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

PROMPTS = ["bright bells over rain", "a low drone that slowly opens into a choir"]
DURATION_SECONDS = 3
STEPS = 12
GREEDY_FRAMES = 24
CARD = 32
DIM = 16
MAGNET_FRAMES = 48
MAGNET_PROMPT_FRAMES = 16
# Longer than what restricted attention reaches to either side.
MAGNET_LOGITS_FRAMES = 24
MAGNET_STEPS = [6, 3, 3, 3]

_EMPTY_PACKAGES = (
    "av", "audioseal", "demucs", "dora", "flashy", "hydra", "laion_clap", "num2words", "spacy",
    "torchdiffeq", "torchmetrics", "xformers",
)  # fmt: skip
_EMPTY_MODULES = (
    "audiocraft.data.audio", "audiocraft.models.multibanddiffusion", "audiocraft.models.watermark",
    "audiocraft.solvers",
)  # fmt: skip


class _EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports of what is not needed give modules in which every name exists."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.split(".")[0] in _EMPTY_PACKAGES or name in _EMPTY_MODULES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        return None


class _LowerTriangularMask:
    """xformers' name for causal attention."""


def _attention(query: Any, key: Any, value: Any, mask: Any = None, p: float = 0.0) -> Any:
    """xformers' memory_efficient_attention: [B, T, H, D]."""
    is_causal = isinstance(mask, _LowerTriangularMask)
    mixed = functional.scaled_dot_product_attention(
        *(tensor.transpose(1, 2) for tensor in (query, key, value)),
        attn_mask=None if is_causal else mask,
        is_causal=is_causal,
    )
    return mixed.transpose(1, 2)


def _import_audiocraft(checkout: Path) -> None:
    sys.meta_path.insert(0, _EmptyModules())
    sys.path.insert(0, str(checkout))
    import demucs
    import xformers.ops

    xformers.ops.unbind = torch.unbind
    xformers.ops.memory_efficient_attention = _attention
    xformers.ops.LowerTriangularMask = _LowerTriangularMask
    separator = demucs.pretrained.get_model.return_value.to.return_value
    separator.sources = ["drums", "bass", "other", "vocals"]
    from audiocraft.modules import conditioners, transformer

    transformer.set_efficient_attention_backend("xformers")
    encoders = {"t5-base": _t5(12, seed=1), "t5-large": _t5(DIM, seed=2)}
    conditioners.T5Conditioner.MODELS_DIMS.update({"t5-base": 12, "t5-large": DIM})
    conditioners.T5Tokenizer = types.SimpleNamespace(from_pretrained=lambda name: ByT5Tokenizer())
    conditioners.T5EncoderModel = types.SimpleNamespace(from_pretrained=encoders.__getitem__)
    conditioners.ChromaStemConditioner._get_stemmed_wav = lambda self, wav, rate: wav


def _t5(width: int, seed: int) -> T5EncoderModel:
    torch.manual_seed(seed)
    config = T5Config(
        d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=384, dropout_rate=0
    )
    return T5EncoderModel(config).eval()


def _config(checkout: Path, groups: Sequence[str], **changes: Any) -> Any:
    """The named groups of audiocraft's configuration, one over the other, and changes to them."""
    from omegaconf import OmegaConf

    merged = OmegaConf.create({"device": "cpu", "dtype": "float32"})
    for group in groups:
        part = OmegaConf.load(checkout / "config" / f"{group}.yaml")
        part.pop("defaults", None)
        merged = OmegaConf.merge(merged, part)
    for name, value in changes.items():
        OmegaConf.update(merged, name.replace("__", "."), value, force_add=True)
    return merged


_LM_SIZES = {
    "transformer_lm__dim": DIM,
    "transformer_lm__num_heads": 2,
    "transformer_lm__num_layers": 2,
    "transformer_lm__card": CARD,
    "dataset__segment_duration": DURATION_SECONDS,
}
_MUSICGEN = ("solver/musicgen/default", "model/lm/default", "model/lm/musicgen_lm")
_MONO = ("solver/musicgen/musicgen_base_32khz",)
_AUDIOGEN = (
    "solver/musicgen/default",
    "solver/audiogen/default",
    "model/lm/default",
    "model/lm/audiogen_lm",
    "solver/audiogen/audiogen_base_16khz",
)


def _randomise(model: Any, seed: int) -> None:
    """Give norms and biases values that are not their neutral ones."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                tensor.add_(0.2 * torch.randn_like(tensor))


def _lm(config: Any, seed: int) -> Any:
    from audiocraft.models import builders

    torch.manual_seed(seed)
    model = builders.get_lm_model(config).eval()
    _randomise(model, seed)
    return model


def _conditions(model: Any, prompts: Sequence[str], melody: Any = None) -> Any:
    """Conditioned rows, then the same number of null rows, as audiocraft's guidance has them."""
    from audiocraft.modules.conditioners import (
        ClassifierFreeGuidanceDropout,
        WavCondition,
    )

    rows = [_attributes(prompt) for prompt in prompts]
    if melody is not None:
        # As audiocraft's MusicGen.get_pretrained sets it.
        conditioner = model.condition_provider.conditioners["self_wav"]
        conditioner.match_len_on_eval, conditioner._use_masking = True, False
        length = torch.tensor([melody.shape[-1]])
        for row in rows:
            row.wav["self_wav"] = WavCondition(melody, length, [32000], [None], [None])
    rows = rows + ClassifierFreeGuidanceDropout(p=1.0)(rows)
    provider = model.condition_provider
    return provider(provider.tokenize(rows))


def _attributes(prompt: str) -> Any:
    from audiocraft.modules.conditioners import ConditioningAttributes

    return ConditioningAttributes(text={"description": prompt})


def _tokens(codebooks: int, steps: int = STEPS) -> Any:
    generator = torch.Generator().manual_seed(codebooks)
    return torch.randint(0, CARD + 1, (codebooks, steps), generator=generator)


@torch.no_grad()
def _autoregressive(model: Any, melody: Any = None) -> dict[str, Any]:
    """Logits of a random sequence, with the first prompt alone and beside a longer one."""
    tokens = _tokens(model.n_q)
    outputs = {"tokens": tokens}
    for name, prompts in (("alone", PROMPTS[:1]), ("padded", PROMPTS)):
        conditions = _conditions(model, prompts, melody)
        sequence = tokens.expand(2 * len(prompts), -1, -1)
        # [rows, K, S, card]: the first prompt's row and the first null row.
        logits = model(sequence, [], conditions)[[0, len(prompts)]]
        outputs[f"logits_{name}"] = logits
    if melody is None:
        codes = model.generate(
            None, [_attributes(PROMPTS[0])], max_gen_len=GREEDY_FRAMES, use_sampling=False
        )
        outputs["codes_greedy"] = codes[0]
    return outputs


@torch.no_grad()
def _magnet(model: Any, guidance: float) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, model.n_q, MAGNET_PROMPT_FRAMES)
    prompt = torch.randint(0, CARD, shape, generator=generator)
    tokens = _tokens(model.n_q, MAGNET_LOGITS_FRAMES)
    conditions = _conditions(model, PROMPTS[:1])
    outputs = {"prompt_codes": prompt[0], "tokens": tokens}
    for name, stage in (("first", 0), ("later", 1)):
        # [2, K, T, card]: the prompt's row and the null row.
        outputs[f"logits_{name}"] = model(tokens.expand(2, -1, -1), [], conditions, stage=stage)
    for arrangement in ("nonoverlap", "stride1"):
        for name, given in (("alone", None), ("continued", prompt)):
            codes = model.generate(
                given,
                [_attributes(PROMPTS[0])],
                max_gen_len=MAGNET_FRAMES,
                use_sampling=False,
                temp=3.0,
                max_cfg_coef=guidance,
                decoding_steps=MAGNET_STEPS,
                span_arrangement=arrangement,
            )
            outputs[f"codes_{arrangement}_{name}"] = codes[0]
    return outputs


def _codec(config: Any, seed: int) -> tuple[Any, dict[str, Any]]:
    from audiocraft.models import builders, encodec

    torch.manual_seed(seed)
    model = builders.get_compression_model(config).eval()
    _randomise(model, seed)
    with torch.no_grad():
        for layer in model.quantizer.vq.layers:
            layer._codebook.embed.normal_()
            layer._codebook.inited.fill_(1)
        frames = 12
        codes = torch.randint(0, CARD, (1, config.rvq.n_q, frames))
        wave = 0.3 * torch.randn(1, 1, frames * model.encoder.hop_length // 2 + 17)
        outputs = {
            "codes": codes,
            "audio": model.decode(codes),
            "wave": wave,
            "wave_codes": model.encode(wave)[0],
        }
        outputs |= _stereo(encodec.InterleaveStereoCompressionModel(model), codes, wave)
    return model, outputs


def _stereo(model: Any, codes: Any, wave: Any) -> dict[str, Any]:
    """The same codec, once a channel with its codes interleaved."""
    both = torch.cat([codes, codes.flip(2)], dim=1)
    wide = torch.cat([wave, wave.flip(2)], dim=1)
    return {
        "stereo_codes": both,
        "stereo_audio": model.decode(both),
        "stereo_wave": wide,
        "stereo_wave_codes": model.encode(wide)[0],
    }


def _melody() -> Any:
    """Three tones of a second each: [1, 1, N]."""
    seconds = torch.arange(32000) / 32000
    tones = [torch.sin(2 * torch.pi * hz * seconds) for hz in (261.63, 329.63, 392.0)]
    return torch.cat(tones)[None, None]


def _save(out: Path, name: str, model: Any, outputs: dict[str, Any], config: Any) -> None:
    from omegaconf import OmegaConf

    tensors = {f"state/{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"out/{key}": value for key, value in outputs.items()}
    tensors = {key: value.clone().contiguous() for key, value in tensors.items()}
    metadata = {"xp.cfg": OmegaConf.to_yaml(config), "prompts": json.dumps(PROMPTS)}
    out.mkdir(parents=True, exist_ok=True)
    _write(out / f"{name}.safetensors", tensors, metadata)


def _write(path: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)  # safetensors makes files that only their owner can read


def _language_models(checkout: Path, out: Path) -> None:
    text = _config(checkout, (*_MUSICGEN, "conditioner/text2music", *_MONO), **_LM_SIZES)
    model = _lm(text, 11)
    _save(out, "text", model, _autoregressive(model), text)
    stereo = _config(
        checkout,
        (*_MUSICGEN, "conditioner/text2music", *_MONO),
        **_LM_SIZES,
        channels=2,
        interleave_stereo_codebooks__use=True,
        transformer_lm__n_q=8,
        codebooks_pattern__delay__delays=[0, 0, 1, 1, 2, 2, 3, 3],
    )
    model = _lm(stereo, 12)
    _save(out, "stereo", model, _autoregressive(model), stereo)
    groups = (*_MUSICGEN, "conditioner/chroma2music", *_MONO)
    shorter = {"conditioners__self_wav__chroma_stem__radix2_exp": 12}
    melody = _config(checkout, groups, **_LM_SIZES, **shorter)
    model = _lm(melody, 13)
    outputs = _autoregressive(model, _melody())
    outputs["chroma"] = model.condition_provider.conditioners["self_wav"].chroma(_melody())[0]
    _save(out, "melody", model, outputs, melody)
    sizes = {**_LM_SIZES, "dataset__segment_duration": 2}
    audiogen = _config(checkout, (*_AUDIOGEN, "conditioner/text2sound"), **sizes)
    # Delays are the config's to say.
    audiogen.codebooks_pattern.delay.delays = [0, 1, 3, 4]
    model = _lm(audiogen, 14)
    _save(out, "audiogen", model, _autoregressive(model), audiogen)


def _magnets(checkout: Path, out: Path) -> None:
    music = (*_MUSICGEN, "conditioner/text2music", "solver/magnet/magnet_32khz")
    sounds = (*_AUDIOGEN, "conditioner/text2sound", "solver/magnet/audio_magnet_16khz")
    for seed, name, groups in ((15, "magnet", music), (16, "audio_magnet", sounds)):
        config = _config(checkout, groups, **{**_LM_SIZES, "dataset__segment_duration": 1})
        loaded = config.copy()
        # As audiocraft's loader completes it.
        loaded.transformer_lm.compression_model_framerate = 50
        loaded.transformer_lm.segment_duration = config.dataset.segment_duration
        loaded.transformer_lm.span_len = config.masking.span_len
        model = _lm(loaded, seed)
        _save(out, name, model, _magnet(model, config.generate.lm.max_cfg_coef), config)


def _codecs(checkout: Path, out: Path) -> None:
    sizes = {"seanet__n_filters": 2, "seanet__dimension": 8, "rvq__bins": CARD, "rvq__n_q": 4}
    for name, group, rate_hz, lstm_layers, pad_mode in (
        ("codec32", "model/encodec/encodec_large_nq4_s640", 32000, 2, "reflect"),
        ("codec16", "model/encodec/encodec_large_nq4_s320", 16000, 1, "constant"),
    ):
        groups = ("model/encodec/default", group)
        own = {
            "sample_rate": rate_hz,
            "channels": 1,
            "seanet__lstm": lstm_layers,
            "seanet__pad_mode": pad_mode,
        }
        config = _config(checkout, groups, **sizes, **own)
        model, outputs = _codec(config, rate_hz)
        _save(out, name, model, outputs, config)


def main() -> None:
    """Write all fixtures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audiocraft", type=Path, required=True, help="a checkout of audiocraft")
    parser.add_argument("--out", type=Path, required=True, help="the folder tests/data")
    options = parser.parse_args()
    torch.set_num_threads(1)
    _import_audiocraft(options.audiocraft)
    out = options.out / "audiocraft"
    _language_models(options.audiocraft, out)
    _magnets(options.audiocraft, out)
    _codecs(options.audiocraft, out)
    for name, encoder in (("t5-base", _t5(12, seed=1)), ("t5-large", _t5(DIM, seed=2))):
        tensors = {key: value.clone() for key, value in encoder.state_dict().items()}
        tensors.pop("encoder.embed_tokens.weight", None)
        metadata = {"config": json.dumps(encoder.config.to_dict())}
        _write(out / f"{name}.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
