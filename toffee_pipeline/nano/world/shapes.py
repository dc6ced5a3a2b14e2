"""What class builders share: the shape they return and how they draw sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .palette import DARK, WHITE
from .primitives import Primitive, Vector, sphere

Draw = Callable[[float, float], float]
"""draw(low, high): a random size."""


@dataclass(frozen=True)
class Shape:
    """Primitives, and the point (anchor) on which an added thing stands.

    Units are free, sizes and grounding are normalised later; z is up and the front faces -x.
    """

    primitives: list[Primitive]
    anchor: Vector


Builder = Callable[[Draw], Shape]


def eye(center: Vector, radius: float) -> list[Primitive]:
    """A white ball with a dark pupil that looks to the front."""
    x, y, z = center
    return [sphere(center, radius, WHITE), sphere((x - radius * 0.55, y, z), radius * 0.68, DARK)]
