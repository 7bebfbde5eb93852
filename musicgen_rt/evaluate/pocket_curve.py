"""How a share of takes comes to follow a change, over the time since it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A share of the settled level that counts as having followed.
_FOLLOWED_PART = 0.75
# What settles below this does not follow.
_SETTLED_SHARE = 0.5


@dataclass(frozen=True)
class Curve:
    """Shares 0-1 at seconds since a change."""

    seconds: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Sequence[float], shares: Sequence[float]) -> Curve:
        """As long as the shorter of both, rounded."""
        pairs = list(zip(seconds, shares, strict=False))
        return cls(
            tuple(round(float(moment), 3) for moment, _ in pairs),
            tuple(round(float(share), 4) for _, share in pairs),
        )

    @property
    def settled(self) -> float | None:
        """The mean of the second half: what it comes to in the end."""
        half = self.shares[len(self.shares) // 2 :]
        return round(float(np.mean(half)), 4) if half else None

    @property
    def followed_after_seconds(self) -> float | None:
        """When it comes to stay at 75 % of what it settles to; None if that is no following.

        0 if it is there from the first moment on. Each moment counts with its two neighbours, and
        the second half counts as settled, so that one doubtful moment late in the curve does not.
        """
        settled = self.settled
        if settled is None or settled < _SETTLED_SHARE:
            return None
        first_half = _smoothed(np.array(self.shares))[: len(self.shares) // 2]
        below = np.flatnonzero(first_half < _FOLLOWED_PART * settled)
        return self.seconds[int(below[-1]) + 1] if len(below) else 0.0

    def to_json(self) -> dict[str, Any]:
        """The curve and what it comes to."""
        return {
            "followed_after_seconds": self.followed_after_seconds,
            "settled_share": self.settled,
            "curve": {"seconds": list(self.seconds), "shares": list(self.shares)},
        }


def share_curve(rows: Sequence[Sequence[bool]], seconds: Sequence[float]) -> Curve:
    """At each moment the share of rows that hold; as long as the shortest row."""
    moments = min((len(row) for row in rows), default=0)
    held = np.array([list(row[:moments]) for row in rows], dtype=np.float64)
    shares = held.mean(axis=0).tolist() if moments else []
    return Curve.of(seconds, shares)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(values, 1, mode="edge")
    smooth: NDArray[np.float64] = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return smooth
