"""Fills holes in codes all at once, over a few passes: MAGNeT's decoding.

Ziv et al., "Masked Audio Generation using a Single Non-Autoregressive Transformer", 2024, section
3. Codebooks are made one after the other, each in several passes; a pass makes all frames that are
masked, of which the least sure are masked again in the next. What is given stays: before the holes
(a continuation), after them, or on both sides (infill).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from musicgen_rt.errors import NonFiniteError, ParameterError
from musicgen_rt.live.cache_slot import CacheSlot
from musicgen_rt.live.conditioning import Situation
from musicgen_rt.live.sampling import SamplingParameters, gumbel_noise, parameter_tensor, sample
from musicgen_rt.live.span_masking import ARRANGEMENTS, Arrangement, mask_share, new_masking
from musicgen_rt.live.token_store import UNKNOWN
from musicgen_rt.model.lm import LM
from musicgen_rt.model.magnet_config import MagnetConfig

# Below this the softmax is as good as an argmax; audiocraft's floor.
_LOWEST_TEMPERATURE = 1e-2
Progress = Callable[[int, int], None]
"""Called with the passes done and to do."""


class Rescorer(Protocol):
    """Another model's opinion of what was made (section 3.5 of the paper)."""

    def probability(self, codes: Tensor, codebook: int) -> Tensor:
        """Of each token of a codebook, float32 [T], given codes [K, T], UNKNOWN where not made."""
        ...


@dataclass(frozen=True)
class MaskedDecoder:
    """A model of masked codes. `rescoring` is the weight of the rescorer's opinion, if any.

    One thread at a time: it writes the cache it is given.
    """

    lm: LM
    config: MagnetConfig
    arrangement: Arrangement = "nonoverlap"
    rescorer: Rescorer | None = None
    rescoring: float = 0.3

    def __post_init__(self) -> None:
        if self.arrangement not in ARRANGEMENTS:
            raise ParameterError(
                f"span arrangement {self.arrangement!r}: expected one of {', '.join(ARRANGEMENTS)}"
            )
        if not 0 <= self.rescoring <= 1:
            raise ParameterError(f"rescoring is {self.rescoring}: expected 0 to 1")

    @property
    def num_passes(self) -> int:
        """Passes of a whole fill."""
        return sum(self.config.decoding_steps)

    @torch.inference_mode()
    def fill(
        self,
        codes: np.ndarray,
        first_frame: int,
        slot: CacheSlot,
        situation: Situation,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Codes [K, T] with every UNKNOWN made; the first column is frame `first_frame`.

        `slot` has the rows of `situation` with their texts set, and room for T positions. The
        result depends on nothing else. Raises NonFiniteError if logits are not finite.
        """
        made = torch.from_numpy(codes.copy()).to(self.lm.device)
        done = 0
        for codebook, steps in enumerate(self.config.decoding_steps):
            fill = _CodebookFill(self, made, codebook, first_frame, slot, situation)
            for step in range(steps):
                if fill.has_holes:
                    fill.run(step, steps, draw=done)
                done += 1
                if progress is not None:
                    progress(done, self.num_passes)
        return made.cpu().numpy()


class _CodebookFill:
    """The passes of one codebook; writes its row of `made` [K, T]."""

    def __init__(
        self,
        decoder: MaskedDecoder,
        made: Tensor,
        codebook: int,
        first_frame: int,
        slot: CacheSlot,
        situation: Situation,
    ) -> None:
        self._decoder, self._made, self._codebook = decoder, made, codebook
        self._frames = range(first_frame, first_frame + made.shape[1])
        self._slot, self._situation = slot, situation
        is_open = made[codebook] == UNKNOWN
        self.has_holes = bool(is_open.any())
        if self.has_holes:
            config = decoder.config
            self._masking = new_masking(decoder.arrangement, is_open, config.span_frames)

    def run(self, step: int, steps: int, draw: int) -> None:
        """One pass: mask the least sure, make them, and learn how sure the model was."""
        share = mask_share(step, steps)
        masked = self._masking.mask(share)
        row = self._made[self._codebook]
        row[masked] = UNKNOWN
        logits = self._guided(share)  # [T, V]
        sampling = self._situation.sampling
        # Linear, to nothing at the last pass.
        heat = sampling.temperature * (steps - 1 - step) / steps
        heat = max(heat, _LOWEST_TEMPERATURE)
        parameters = SamplingParameters(heat, sampling.top_k, sampling.top_p)
        tokens = self._drawn(logits, masked, parameters, draw)
        row[masked] = tokens[masked]
        probability = (logits / heat).softmax(-1).gather(1, tokens[:, None])[:, 0]
        self._masking.learn(self._rescored(probability), masked)

    def _guided(self, share: float) -> Tensor:
        """Logits [T, V] of this codebook, mixed with the guidance of this pass."""
        lm, config = self._decoder.lm, self._decoder.config
        tokens = self._made.masked_fill(self._made == UNKNOWN, lm.config.vocab_size)
        reach = None if self._codebook == 0 else config.context_frames
        hidden = lm.parallel(tokens, self._slot.cache, self._slot.cross, reach)
        logits = lm.logits(hidden)[:, :, self._codebook]  # [B, T, V]
        if not bool(torch.isfinite(logits).all()):
            self._slot.cache.clear_from(0)
            raise NonFiniteError("logits", self._frames.start)
        coefficients = annealed(self._situation, share, config.min_guidance)
        return torch.einsum("btv,b->tv", logits, coefficients.to(logits.device))

    def _drawn(
        self, logits: Tensor, masked: Tensor, parameters: SamplingParameters, draw: int
    ) -> Tensor:
        """One token a frame, int64 [T]: a draw where it is asked for, else the likeliest."""
        frames = [self._frames[int(index)] for index in masked.nonzero()]
        noise = torch.zeros_like(logits)
        drawn = gumbel_noise(self._situation.seed, frames, 1, logits.shape[1], draw)[:, 0]
        noise[masked] = torch.from_numpy(drawn).to(logits.device)
        return sample(logits, noise, parameter_tensor(parameters).to(logits.device))

    def _rescored(self, probability: Tensor) -> Tensor:
        """The model's opinion [T] mixed with the rescorer's."""
        rescorer, weight = self._decoder.rescorer, self._decoder.rescoring
        if rescorer is None:
            return probability
        other = rescorer.probability(self._made, self._codebook).to(probability.device)
        return (1 - weight) * probability + weight * other


def annealed(situation: Situation, share: float, min_guidance: float) -> Tensor:
    """The rows' coefficients, float32 [B], when `share` is masked.

    Guidance goes from the one that is asked for to the least; a coefficient is linear in it and
    goes along. Without an unconditional row there is nothing to guide away from.
    """
    coefficients = torch.tensor(situation.coefficients)
    asked = situation.guidance
    is_null = torch.tensor([row.name == "uncond" for row in situation.rows])
    if asked == 0.0 or not bool(is_null.any()) or len(is_null) == 1:
        return coefficients
    guidance = share * asked + (1 - share) * min_guidance
    at_zero = is_null.float()
    return at_zero + (coefficients - at_zero) * (guidance / asked)
