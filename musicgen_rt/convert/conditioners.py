"""What an audiocraft language model is conditioned on: a text, and a melody's chroma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from musicgen_rt.convert.xp_config import XpConfig, refuse_unknown, require
from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.json_section import JsonSection

_PREFIX = "condition_provider.conditioners"
_T5, _CHROMA = "t5", "chroma_stem"
# How conditions can meet the model's input; a checkpoint may leave any of them out.
_FUSERS = ("sum", "prepend", "cross", "input_interpolate")
# Fields that are read below, or say how to train and evaluate and not what the conditioner is.
_KNOWN_T5 = ("name", "finetune", "word_dropout", "normalize_text", "autocast_dtype")
_KNOWN_CHROMA = (
    "sample_rate", "n_chroma", "radix2_exp", "argmax", "nfft", "winlen", "winhop",
    "match_len_on_eval", "eval_wavs", "n_eval_wavs", "cache_path",
)  # fmt: skip


@dataclass(frozen=True)
class Melody:
    """A chroma conditioner: its name, and n_fft, hop and classes of its transform."""

    name: str
    num_chroma: int
    n_fft: int
    hop_samples: int


@dataclass(frozen=True)
class Conditioners:
    """The text conditioner's name and T5, and the melody's, in a file that has one."""

    text: str
    t5_name: str
    melody: Melody | None

    @property
    def kind(self) -> str:
        """The `model_type` of transformers' class."""
        return "musicgen" if self.melody is None else "musicgen_melody"

    @property
    def text_prefix(self) -> str:
        """What the text conditioner's tensors begin with."""
        return f"{_PREFIX}.{self.text}"

    @property
    def melody_prefix(self) -> str | None:
        """What the melody conditioner's tensors begin with."""
        return None if self.melody is None else f"{_PREFIX}.{self.melody.name}"

    @classmethod
    def read(cls, config: XpConfig, rate_hz: int) -> Conditioners:
        """`rate_hz` is the codec's.

        Raises CheckpointError naming a conditioner or a way to fuse it that is not known.
        """
        table = config.section("conditioners")
        names = [name for name in table.values if name != "args"]
        models = {
            name: config.section(f"conditioners.{name}").choice("model", None, (_T5, _CHROMA))
            for name in names
        }
        texts = [name for name, model in models.items() if model == _T5]
        chromas = [name for name, model in models.items() if model == _CHROMA]
        if len(texts) != 1 or len(chromas) > 1:
            raise CheckpointError(
                f"{table.name}: {', '.join(names) or 'none'}: expected one text (t5) and at most "
                "one melody (chroma_stem)"
            )
        melody = _melody(config, chromas[0], rate_hz) if chromas else None
        _check_fusing(config, texts[0], chromas)
        t5 = config.section(f"conditioners.{texts[0]}.{_T5}")
        refuse_unknown(t5, _KNOWN_T5)
        require(t5, "normalize_text", False, False)
        name = t5.values.get("name")
        if not isinstance(name, str) or not name:
            raise t5.fail("name", name, "the name of a T5, such as t5-base")
        return cls(texts[0], name, melody)

    def config_json(self, rate_hz: int, seconds: float) -> dict[str, Any]:
        """What config.json says of a melody at its top."""
        if self.melody is None:
            return {}
        frames = _transform_samples(self.melody, rate_hz, seconds) // self.melody.hop_samples
        return {"num_chroma": self.melody.num_chroma, "chroma_length": frames + 1}

    def preprocessor_json(self, rate_hz: int, seconds: float, channels: int) -> dict[str, Any]:
        """preprocessor_config.json: chroma for a melody checkpoint, else plain audio."""
        common = {"sampling_rate": rate_hz, "padding_side": "left", "padding_value": 0.0}
        if self.melody is None:
            return {
                "feature_extractor_type": "EncodecFeatureExtractor",
                "processor_class": "MusicgenProcessor",
                "feature_size": channels,
                "return_attention_mask": True,
                **common,
            }
        return {
            "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
            "processor_class": "MusicgenMelodyProcessor",
            "feature_size": self.melody.num_chroma,
            "num_chroma": self.melody.num_chroma,
            "n_fft": self.melody.n_fft,
            "hop_length": self.melody.hop_samples,
            "chunk_length": seconds,
            "return_attention_mask": True,
            "stem_indices": [3, 2],
            **common,
        }


def _transform_samples(melody: Melody, rate_hz: int, seconds: float) -> int:
    """Samples that the transform sees: audiocraft pads what is shorter than one window."""
    return max(int(rate_hz * seconds), melody.n_fft)


def _melody(config: XpConfig, name: str, rate_hz: int) -> Melody:
    fields = config.section(f"conditioners.{name}.{_CHROMA}")
    refuse_unknown(fields, _KNOWN_CHROMA)
    require(fields, "sample_rate", rate_hz, rate_hz)
    require(fields, "argmax", False, True)
    n_fft: int = 2 ** fields.integer("radix2_exp", 12, 4, 20)
    window = fields.values.get("winlen") or n_fft
    if (fields.values.get("nfft") or n_fft) != n_fft or window != n_fft:
        raise fields.fail("winlen", window, f"{n_fft}, two to the power of radix2_exp")
    hop = fields.values.get("winhop") or n_fft // 4
    if hop != n_fft // 4:
        raise fields.fail("winhop", hop, f"{n_fft // 4}, a quarter of the window")
    return Melody(name, fields.integer("n_chroma", 12, 1, 128), n_fft, hop)


def _check_fusing(config: XpConfig, text: str, chromas: list[str]) -> None:
    fuser = config.section("fuser")
    require(fuser, "cross_attention_pos_emb", False, False)
    expected = {"prepend": {text, *chromas}} if chromas else {"cross": {text}}
    for method in _FUSERS:
        names = fuser.values.get(method) or []
        if set(names) != expected.get(method, set()):
            raise _unfit(fuser, method, names, expected)


def _unfit(
    fuser: JsonSection, method: str, names: object, expected: dict[str, set[str]]
) -> CheckpointError:
    [(right, conditions)] = expected.items()
    return fuser.fail(method, names, f"{', '.join(sorted(conditions))} by {right} and no other way")
