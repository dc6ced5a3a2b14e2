"""The toy classes: their words, their builders and their removable parts."""

from __future__ import annotations

from .creatures import cat, fish, robot, teddy_bear, toy_duck
from .shapes import Builder
from .things import cake, chair, house, lamp, mug, mushroom, teapot, vase
from .vehicles import airplane, boat, rocket, toy_car, toy_train

BUILDERS: dict[str, Builder] = {
    "mug": mug,
    "teapot": teapot,
    "toy car": toy_car,
    "toy train": toy_train,
    "boat": boat,
    "rocket": rocket,
    "airplane": airplane,
    "chair": chair,
    "lamp": lamp,
    "house": house,
    "teddy bear": teddy_bear,
    "cat": cat,
    "toy duck": toy_duck,
    "fish": fish,
    "robot": robot,
    "mushroom": mushroom,
    "cake": cake,
    "vase": vase,
}
CLASS_NAMES: tuple[str, ...] = tuple(BUILDERS)
"""The class words, as captions use them."""

REMOVABLE: dict[str, str] = {
    "mug": "a handle",
    "teapot": "a spout",
    "toy car": "wheels",
    "toy train": "a chimney",
    "boat": "sails",
    "rocket": "fins",
    "airplane": "wings",
    "chair": "armrests",
    "lamp": "a lampshade",
    "house": "a chimney",
    "teddy bear": "ears",
    "cat": "a tail",
    "toy duck": "a beak",
    "fish": "a tail fin",
    "robot": "an antenna",
    "mushroom": "leaves",
    "cake": "candles",
    "vase": "flowers",
}
"""For each class the part that `without_part` takes away, worded to follow "without"."""
