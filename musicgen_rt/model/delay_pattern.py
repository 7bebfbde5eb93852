"""The delay pattern: codebooks of one frame enter the language model one step after another.

With delays 0 1 2 3 and T = 4 frames, where S is the special token and `c2` is the code of frame 2
in codebook c, the delayed sequence has 1 + T + 3 positions:

    position   0   1   2   3   4   5   6   7
    codebook a S   a0  a1  a2  a3  S   S   S
    codebook b S   S   b0  b1  b2  b3  S   S
    codebook c S   S   S   c0  c1  c2  c3  S
    codebook d S   S   S   S   d0  d1  d2  d3

The model reads position p and predicts position p + 1. A column is a *diagonal* of the codes: one
step of the model makes one diagonal. Stereo models interleave left and right and give both the
same delay: 0 0 1 1 2 2 3 3. Source: Copet et al. 2023, "Simple and Controllable Music Generation",
section 2.2.

Everything here is a pure function of its arguments and works on the device of its input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError


def sequence_length(num_frames: int, delays: Sequence[int]) -> int:
    """Positions of the whole delayed sequence of `num_frames` frames: 1 + T + max(delays)."""
    _check_frames(num_frames, "num_frames")
    return 1 + num_frames + _largest(delays)


def released_frames(steps: int, delays: Sequence[int]) -> int:
    """Frames whose codes are all known once the model has made `steps` diagonals.

    The first step makes the first diagonal, so with delays 0 1 2 3 the first frame is complete
    after four steps.
    """
    _check_frames(steps, "steps")
    return max(0, steps - _largest(delays))


def valid_mask(
    num_frames: int, delays: Sequence[int], *, device: torch.device | str | None = None
) -> Tensor:
    """Where the delayed sequence holds a code and not the special token: bool [K, P].

    P is `sequence_length(num_frames, delays)`. Position 0 is never valid.
    """
    positions = torch.arange(sequence_length(num_frames, delays), device=device)  # [P]
    first = 1 + torch.tensor(list(delays), device=device)[:, None]  # [K, 1]
    return (positions >= first) & (positions < first + num_frames)  # [K, P]


def apply_delay(codes: Tensor, delays: Sequence[int], special: int) -> Tensor:
    """Delays whole sequences: codes [..., K, T] -> [..., K, 1 + T + max(delays)].

    Codebook k of frame t goes to position 1 + t + delays[k]; all else is `special`.
    """
    _check_codebooks(codes, delays)
    return _shift(codes, delays, special, sequence_length(codes.shape[-1], delays))


def undo_delay(delayed: Tensor, delays: Sequence[int]) -> Tensor:
    """The inverse of `apply_delay`: delayed [..., K, P] -> codes [..., K, P - 1 - max(delays)].

    It also fits the sequence of a generation that stopped early: frames that are complete come
    out, the unfinished diagonal at the end is left behind.

    Raises ParameterError if `delayed` is shorter than an empty delayed sequence.
    """
    _check_codebooks(delayed, delays)
    num_frames = delayed.shape[-1] - 1 - _largest(delays)
    if num_frames < 0:
        raise ParameterError(
            f"a delayed sequence of {delayed.shape[-1]} positions is too short for the delays "
            f"{tuple(delays)}: expected at least {1 + _largest(delays)}"
        )
    rows = [
        delayed[..., codebook, 1 + delay : 1 + delay + num_frames]
        for codebook, delay in enumerate(delays)
    ]
    return torch.stack(rows, dim=-2)


def delayed_window(codes: Tensor, delays: Sequence[int], special: int) -> Tensor:
    """The input of a window that goes on: codes [..., K, T] -> delayed [..., K, 1 + T].

    T counts the diagonals (model steps) since the window's first frame. In the midst of a stream
    the newest frames are only partly known: codebook k up to frame T - 1 - delays[k]. Those are
    exactly the codes that positions 0 .. T hold, so nothing known is lost and nothing unknown is
    read (`.` below: any value will do). For T = 5 and delays 0 1 2 3:

        codes                     delayed
        frame      0  1  2  3  4  position   0  1   2   3   4   5  | 6 comes next
        codebook a a0 a1 a2 a3 a4            S  a0  a1  a2  a3  a4 | a5
        codebook b b0 b1 b2 b3 .             S  S   b0  b1  b2  b3 | b4
        codebook c c0 c1 c2 .  .             S  S   S   c0  c1  c2 | c3
        codebook d d0 d1 .  .  .             S  S   S   S   d0  d1 | d2

    The initial triangle is special although the stream may remember older frames: the model was
    trained on windows that begin so. T may be 0 (a stream about to start).
    """
    _check_codebooks(codes, delays)
    return _shift(codes, delays, special, 1 + codes.shape[-1])


def _shift(codes: Tensor, delays: Sequence[int], special: int, length: int) -> Tensor:
    """Writes row k from position 1 + delays[k] on into `length` positions full of `special`."""
    delayed = codes.new_full((*codes.shape[:-1], length), special)
    for codebook, delay in enumerate(delays):
        room = max(0, min(codes.shape[-1], length - 1 - delay))
        delayed[..., codebook, 1 + delay : 1 + delay + room] = codes[..., codebook, :room]
    return delayed


def _largest(delays: Sequence[int]) -> int:
    if not delays or min(delays) < 0:
        raise ParameterError(
            f"delays are {tuple(delays)}: expected one delay >= 0 for each codebook, "
            "such as (0, 1, 2, 3)"
        )
    return max(delays)


def _check_frames(count: int, name: str) -> None:
    if count < 0:
        raise ParameterError(f"{name} is {count}: expected 0 or more")


def _check_codebooks(codes: Tensor, delays: Sequence[int]) -> None:
    if codes.ndim < 2 or codes.shape[-2] != len(delays):
        raise ParameterError(
            f"codes have the shape {tuple(codes.shape)}: expected [..., {len(delays)}, T], "
            f"one codebook for each of the delays {tuple(delays)}"
        )
