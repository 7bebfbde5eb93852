"""How a MAGNeT checkpoint is decoded: spans, steps, and what is annealed over them.

Ziv et al., "Masked Audio Generation using a Single Non-Autoregressive Transformer", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

from musicgen_rt.model.json_section import JsonSection

_FIRST_STEPS, _LATER_STEPS = 20, 10
_MAX_STEPS = 1000


@dataclass(frozen=True)
class MagnetConfig:
    """`magnet` of config.json. Defaults are those of the paper, section 4.

    A span of `span_frames` is masked as one. Codebook k takes `decoding_steps[k]` passes; those
    after the first see `context_frames` to either side (None: everything). Temperature falls
    linearly to 0 within a codebook, guidance from `max_guidance` to `min_guidance` with the mask.
    """

    decoding_steps: tuple[int, ...]
    span_frames: int = 3
    context_frames: int | None = 5
    temperature: float = 3.0
    top_k: int = 0
    top_p: float = 0.9
    max_guidance: float = 10.0
    min_guidance: float = 1.0

    @staticmethod
    def default_steps(codebooks: int) -> list[int]:
        """Twenty passes for the first codebook and ten for each other."""
        return [_FIRST_STEPS] + [_LATER_STEPS] * (codebooks - 1)

    @classmethod
    def from_json(cls, fields: JsonSection, codebooks: int) -> MagnetConfig:
        """Raises CheckpointError naming the field."""
        fields.refuse_unknown(tuple(cls.__dataclass_fields__))
        steps = fields.values.get("decoding_steps", cls.default_steps(codebooks))
        if not isinstance(steps, list) or len(steps) != codebooks:
            raise fields.fail("decoding_steps", steps, f"{codebooks} numbers, one a codebook")
        items = JsonSection(
            fields.name, {f"decoding_steps[{i}]": item for i, item in enumerate(steps)}
        )
        context = fields.values.get("context_frames", cls.context_frames)
        if context is not None:
            context = fields.integer("context_frames", cls.context_frames, 0, 1 << 16)
        return cls(
            decoding_steps=tuple(items.integer(key, None, 1, _MAX_STEPS) for key in items.values),
            span_frames=fields.integer("span_frames", cls.span_frames, 1, 256),
            context_frames=context,
            temperature=fields.number("temperature", cls.temperature, 0.0, 10.0),
            top_k=fields.integer("top_k", cls.top_k, 0, 1 << 16),
            top_p=fields.number("top_p", cls.top_p, 0.0, 1.0),
            max_guidance=fields.number("max_guidance", cls.max_guidance, 0.0, 30.0),
            min_guidance=fields.number("min_guidance", cls.min_guidance, 0.0, 30.0),
        )
