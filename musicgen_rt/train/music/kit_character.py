"""Kinds of drum kit: the ranges from which a clip's kit draws its sounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KitCharacter:
    """What kits of one name have in common. Ranges are (low, high).

    The kick falls to `kick_hz` from `kick_sweep` times it; `snare_noise` is its rattle's share;
    hats are high-passed at `hat_hz` and ring with `hat_metal` 0-1; `top_hz` dulls the whole kit.
    """

    kick_hz: tuple[float, float]
    kick_sweep: tuple[float, float]
    kick_seconds: tuple[float, float]
    snare_hz: tuple[float, float]
    snare_noise: tuple[float, float]
    snare_seconds: tuple[float, float]
    hat_hz: tuple[float, float]
    hat_metal: float
    drive: tuple[float, float]
    top_hz: tuple[float, float]


KITS: dict[str, KitCharacter] = {
    "electronic": KitCharacter(
        (45, 58), (3, 6), (0.18, 0.4), (170, 220), (0.5, 0.8), (0.1, 0.22), (7e3, 9e3), 0.4,
        (1.0, 2.0), (12e3, 16e3),
    ),
    "nine": KitCharacter(
        (44, 55), (4, 8), (0.2, 0.5), (180, 240), (0.6, 0.9), (0.12, 0.25), (6e3, 8e3), 0.8,
        (1.0, 2.5), (12e3, 16e3),
    ),
    "hard": KitCharacter(
        (42, 52), (6, 12), (0.2, 0.45), (160, 230), (0.6, 0.9), (0.1, 0.2), (6e3, 9e3), 0.6,
        (2.0, 6.0), (11e3, 16e3),
    ),
    "breaks": KitCharacter(
        (60, 85), (1.8, 3), (0.1, 0.2), (190, 280), (0.6, 0.85), (0.1, 0.2), (5e3, 7.5e3), 0.3,
        (1.5, 4.0), (9e3, 14e3),
    ),
    "acoustic": KitCharacter(
        (55, 75), (1.6, 2.6), (0.12, 0.25), (170, 240), (0.55, 0.8), (0.14, 0.3), (5e3, 7e3), 0.5,
        (1.0, 1.8), (12e3, 16e3),
    ),
    "gated": KitCharacter(
        (50, 65), (2.5, 5), (0.15, 0.3), (150, 200), (0.7, 0.95), (0.25, 0.45), (6e3, 8e3), 0.4,
        (1.2, 2.5), (12e3, 16e3),
    ),
    "dusty": KitCharacter(
        (50, 68), (1.8, 3.2), (0.14, 0.3), (160, 230), (0.5, 0.75), (0.1, 0.2), (4e3, 6.5e3), 0.2,
        (1.2, 3.0), (4.5e3, 9e3),
    ),
}  # fmt: skip
