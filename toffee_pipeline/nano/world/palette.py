"""Colours of the small world and the palette slots that primitives refer to."""

from __future__ import annotations

import numpy as np

Rgb = tuple[float, float, float]

COLORS: dict[str, Rgb] = {
    "red": (0.85, 0.12, 0.12),
    "blue": (0.13, 0.30, 0.88),
    "green": (0.13, 0.62, 0.22),
    "yellow": (0.97, 0.84, 0.12),
    "orange": (0.98, 0.50, 0.06),
    "purple": (0.52, 0.16, 0.72),
    "pink": (0.98, 0.55, 0.74),
    "white": (0.95, 0.95, 0.93),
    "black": (0.13, 0.13, 0.15),
    "brown": (0.47, 0.27, 0.12),
    "teal": (0.06, 0.64, 0.66),
    "gray": (0.54, 0.55, 0.58),
}
"""Colour word to RGB, each channel in 0..1."""

MAIN, SECOND, THIRD = 0, 1, 2
DARK, WHITE, GLASS, GLOW, LEAF = 3, 4, 5, 6, 7
ADDED_RED, ADDED_PURPLE, ADDED_GOLD, ADDED_BLUE = 8, 9, 10, 11

FIXED_COLORS: tuple[Rgb, ...] = (
    (0.09, 0.09, 0.11),
    (0.96, 0.96, 0.96),
    (0.62, 0.83, 0.94),
    (1.00, 0.78, 0.22),
    (0.16, 0.52, 0.16),
    (0.90, 0.06, 0.08),
    (0.62, 0.12, 0.62),
    (1.00, 0.82, 0.10),
    (0.08, 0.22, 0.92),
)
"""Colours of slots 3 and up: the same for every subject."""

MIN_COLOR_DISTANCE = 0.42


def draw_color_names(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Draw `count` colour words (at most 4) that are clearly distinct from each other."""
    chosen: list[str] = []
    for name in rng.permutation(list(COLORS)):
        if all(color_distance(COLORS[name], COLORS[other]) > MIN_COLOR_DISTANCE for other in chosen):
            chosen.append(str(name))
    return tuple(chosen[:count])


def color_distance(first: Rgb, second: Rgb) -> float:
    """Euclidean distance of two colours in RGB, 0..1.73."""
    return float(np.linalg.norm(np.subtract(first, second)))


def jittered(color: Rgb, rng: np.random.Generator) -> Rgb:
    """The colour with a little noise, still in 0..1."""
    red, green, blue = np.clip(np.array(color) + rng.normal(0, 0.02, 3), 0, 1)
    return float(red), float(green), float(blue)
