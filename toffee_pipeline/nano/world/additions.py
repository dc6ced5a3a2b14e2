"""Things that can be added to a subject. They stand on top of it, so that they show from every side."""

from __future__ import annotations

from .palette import ADDED_BLUE, ADDED_GOLD, ADDED_PURPLE, ADDED_RED, WHITE
from .primitives import Primitive, Vector, box, cylinder, frustum, rotation, sphere

ADDITIONS: tuple[str, ...] = ("a red ball", "a party hat", "a gift box", "a blue flag")


def addition_primitives(addition: str, anchor: Vector) -> tuple[Primitive, ...]:
    """The solids of one of ADDITIONS with its foot at `anchor` (canonical units, about 0.4 tall)."""
    if addition not in ADDITIONS:
        raise ValueError(f"unknown addition {addition!r}, expected one of {ADDITIONS}")
    x, y, z = anchor
    if addition == "a red ball":
        return (sphere((x, y, z + 0.16), 0.17, ADDED_RED, addition),)
    if addition == "a party hat":
        return (
            frustum((x, y, z + 0.03), 0.18, 0.13, 0.055, ADDED_PURPLE, addition),
            frustum((x, y, z + 0.135), 0.13, 0.08, 0.05, ADDED_GOLD, addition),
            frustum((x, y, z + 0.235), 0.08, 0.03, 0.05, ADDED_PURPLE, addition),
            sphere((x, y, z + 0.31), 0.055, ADDED_GOLD, addition),
        )
    if addition == "a gift box":
        return (
            box((x, y, z + 0.12), (0.14, 0.14, 0.13), ADDED_PURPLE, addition),
            box((x, y, z + 0.12), (0.143, 0.035, 0.133), ADDED_GOLD, addition),
            box((x, y, z + 0.12), (0.035, 0.143, 0.133), ADDED_GOLD, addition),
            sphere((x, y + 0.05, z + 0.28), (0.035, 0.06, 0.045), ADDED_GOLD, addition),
            sphere((x, y - 0.05, z + 0.28), (0.035, 0.06, 0.045), ADDED_GOLD, addition),
        )
    # The cloth bends by a right angle: one half faces the camera wherever it stands.
    return (
        cylinder((x, y, z + 0.17), 0.022, 0.19, WHITE, addition),
        box((x - 0.11, y, z + 0.26), (0.11, 0.018, 0.095), ADDED_BLUE, addition),
        box((x - 0.22, y + 0.09, z + 0.26), (0.018, 0.11, 0.095), ADDED_BLUE, addition, rotation("z", 0.2)),
    )
