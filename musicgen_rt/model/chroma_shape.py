"""The shape of a melody checkpoint's chroma, from its config and its feature extractor's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_rt.model.json_section import JsonSection


@dataclass(frozen=True)
class ChromaShape:
    """The melody prefix of a melody checkpoint and the transform that makes it."""

    num_chroma: int
    chroma_length: int
    n_fft: int = 16384
    hop_samples: int = 4096
    sampling_rate_hz: int = 32000

    @classmethod
    def from_json(cls, root: JsonSection, preprocessor: Mapping[str, Any]) -> ChromaShape:
        fields = JsonSection.of("preprocessor_config.json", preprocessor)
        num_chroma = root.integer("num_chroma", 12, 1, 128)
        if fields.integer("num_chroma", num_chroma, 1, 128) != num_chroma:
            found = fields.values["num_chroma"]
            raise fields.fail("num_chroma", found, f"{num_chroma}, as in config.json")
        return cls(
            num_chroma=num_chroma,
            chroma_length=root.integer("chroma_length", 235, 1, 1 << 14),
            n_fft=fields.integer("n_fft", cls.n_fft, 16, 1 << 20),
            hop_samples=fields.integer("hop_length", cls.hop_samples, 1, 1 << 20),
            sampling_rate_hz=fields.integer("sampling_rate", cls.sampling_rate_hz, 1000, 384_000),
        )
