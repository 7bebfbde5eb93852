"""Which frames of a codebook are made anew in a pass of masked decoding: MAGNeT's schedules.

Ziv et al., "Masked Audio Generation using a Single Non-Autoregressive Transformer", 2024, section
3.1 (spans) and 3.4 (decoding). A pass masks a share cos(pi/2 * t) of what is to be made, t from 0
to 1: of what the last pass made, the least sure. Arrangements: "nonoverlap" divides the sequence
into spans; "stride1" takes spans that may begin anywhere, as many as the share needs.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

Arrangement = Literal["nonoverlap", "stride1"]
ARRANGEMENTS: tuple[Arrangement, ...] = ("nonoverlap", "stride1")

# What was once left standing is never masked again.
_SURE = -1e4


class SpanMasking(Protocol):
    """One codebook's masks, pass after pass."""

    def mask(self, share: float) -> Tensor:
        """The frames to mask now: bool [T]."""
        ...

    def learn(self, probability: Tensor, masked: Tensor) -> None:
        """What the pass gave its tokens, float32 [T], where it was asked to make them, [T]."""
        ...


def new_masking(arrangement: Arrangement, is_open: Tensor, span_frames: int) -> SpanMasking:
    """Masks for the frames that are to be made, bool [T] with at least one."""
    # A span of one frame is a token: both arrangements are then the same.
    if arrangement == "nonoverlap" or span_frames == 1:
        return NonOverlapping(is_open, span_frames)
    return Overlapping(is_open, span_frames)


def mask_share(step: int, steps: int) -> float:
    """The share that pass `step` of `steps` masks: 1 at first, about 0 at last."""
    return float(torch.cos(torch.linspace(0, 1, steps)[step] * math.pi * 0.5))


def _part(share: float, count: int) -> int:
    """A share of a count, at least 1, in float32 as the reference has it: .5 falls as there."""
    return max(int(torch.tensor(share) * count), 1)


class NonOverlapping:
    """The sequence divided into spans of equal length, the last one shorter if it must be."""

    def __init__(self, is_open: Tensor, span_frames: int) -> None:
        self._is_open, self._span = is_open, span_frames
        spans = self._spans(is_open, fill=False)
        self._open_spans = spans.any(1)  # [N]
        self._scores = torch.where(self._open_spans, 0.0, _SURE)
        self._masked_spans = self._open_spans

    def mask(self, share: float) -> Tensor:
        """The frames to mask now: bool [T]."""
        count = _part(share, int(self._open_spans.sum()))
        chosen = self._scores.topk(count).indices
        self._masked_spans = torch.zeros_like(self._open_spans).scatter(0, chosen, True)
        frames = self._masked_spans.repeat_interleave(self._span)[: len(self._is_open)]
        return frames & self._is_open

    def learn(self, probability: Tensor, masked: Tensor) -> None:
        """A span is as sure as its surest token (span scoring "max")."""
        surest = self._spans(probability, fill=0.0).amax(1)
        self._scores = (1 - surest).masked_fill(~self._masked_spans, _SURE)

    def _spans(self, frames: Tensor, fill: float | bool) -> Tensor:
        """[T] -> [N, span]."""
        missing = -len(frames) % self._span
        return torch.nn.functional.pad(frames, (0, missing), value=fill).view(-1, self._span)


class Overlapping:
    """Spans that begin at any frame."""

    def __init__(self, is_open: Tensor, span_frames: int) -> None:
        self._is_open, self._span = is_open, min(span_frames, len(is_open))
        self._scores = torch.where(is_open, 0.0, _SURE)
        self._unmade = is_open

    def mask(self, share: float) -> Tensor:
        """The frames to mask now: bool [T]; what no pass has made yet is always among them."""
        wanted = _part(share, int(self._is_open.sum()))
        mask = (self._least_sure(wanted) & self._is_open) | self._unmade
        self._unmade = torch.zeros_like(self._unmade)
        return mask

    def learn(self, probability: Tensor, masked: Tensor) -> None:
        """A span is as sure as the product of its tokens' probabilities."""
        self._scores = (-torch.log(probability)).masked_fill(~masked, _SURE)

    def _least_sure(self, wanted: int) -> Tensor:
        """The least sure spans, as many as cover about `wanted` frames: bisection on their count.

        Source of the bisection's bounds and rounding: audiocraft models/lm_magnet.py.
        """
        order = self._scores.unfold(0, self._span, 1).sum(-1).argsort(descending=True)
        wanted = max(wanted, self._span)
        low, high = wanted // self._span, wanted - self._span + 1
        middle = round(0.5 * (low + high))
        mask = self._covered(order[:middle])
        while low < middle < high:
            mask = self._covered(order[:middle])
            if int(mask.sum()) > wanted:
                high = middle
            else:
                low = middle
            middle = round(0.5 * (low + high))
        return mask

    def _covered(self, starts: Tensor) -> Tensor:
        """The frames of the spans that begin at `starts`: bool [T]."""
        frames = starts[:, None] + torch.arange(self._span, device=starts.device)
        mask = torch.zeros_like(self._is_open)
        mask[frames.flatten()] = True
        return mask
