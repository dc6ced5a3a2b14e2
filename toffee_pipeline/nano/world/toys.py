"""Toys: a class, its geometry and the identity (palette, pattern) that makes it one of a kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .additions import addition_primitives
from .classes import BUILDERS, CLASS_NAMES, REMOVABLE
from .palette import COLORS, FIXED_COLORS, MAIN, Rgb, draw_color_names, jittered
from .patterns import PATTERNS, PatternParameters, draw_parameters
from .primitives import Primitive, Vector, moved, outline
from .shapes import Shape

MAX_HEIGHT = 1.2
MAX_RADIUS = 0.72
MAX_REACH = 0.83


@dataclass(frozen=True)
class Toy:
    """One toy in canonical coordinates: on the ground z = 0, centred on the z axis, its front facing -x.

    palette: RGB in 0..1 per slot; color_names: the words of slots 0, 1, 2 and of the pattern colour.
    height: of the complete toy, without additions. anchor: where an addition stands.
    """

    class_name: str
    seed: int
    primitives: tuple[Primitive, ...]
    palette: tuple[Rgb, ...]
    color_names: tuple[str, ...]
    pattern: str
    pattern_color: Rgb
    pattern_parameters: PatternParameters
    height: float
    anchor: Vector


def make_toy(class_name: str, seed: int) -> Toy:
    """Draw the toy of this class and seed: pure, the same arguments give an equal toy."""
    rng = np.random.default_rng([seed, CLASS_NAMES.index(class_name)])
    shape, height = _normalised(BUILDERS[class_name](lambda low, high: float(rng.uniform(low, high))))
    names = draw_color_names(rng, 4)
    colors = [jittered(COLORS[name], rng) for name in names]
    return Toy(
        class_name=class_name,
        seed=seed,
        primitives=tuple(shape.primitives),
        palette=(*colors[:3], *FIXED_COLORS),
        color_names=names,
        pattern=str(rng.choice(PATTERNS)),
        pattern_color=colors[3],
        pattern_parameters=draw_parameters(rng),
        height=height,
        anchor=shape.anchor,
    )


def with_identity_of(toy: Toy, other: Toy) -> Toy:
    """The geometry of `toy` in the palette and pattern of `other`."""
    return replace(
        toy,
        palette=other.palette,
        color_names=other.color_names,
        pattern=other.pattern,
        pattern_color=other.pattern_color,
        pattern_parameters=other.pattern_parameters,
    )


def recolored(toy: Toy, color_name: str) -> Toy:
    """The toy with another main colour; a slot that had this colour already takes over the old main one."""
    names, colors = list(toy.color_names), [*toy.palette[:3], toy.pattern_color]
    if color_name in names:
        taken = names.index(color_name)
        names[taken], colors[taken] = names[MAIN], colors[MAIN]
    names[MAIN], colors[MAIN] = color_name, COLORS[color_name]
    palette = (*colors[:3], *toy.palette[3:])
    return replace(toy, palette=palette, color_names=tuple(names), pattern_color=colors[3])


def with_pattern(toy: Toy, pattern: str) -> Toy:
    """The toy with another pattern, same colours."""
    if pattern not in PATTERNS:
        raise ValueError(f"unknown pattern {pattern!r}, expected one of {PATTERNS}")
    return replace(toy, pattern=pattern)


def with_addition(toy: Toy, addition: str) -> Toy:
    """The toy with one of ADDITIONS standing on it; its own geometry does not move."""
    return replace(toy, primitives=toy.primitives + addition_primitives(addition, toy.anchor))


def without_part(toy: Toy) -> Toy:
    """The toy without the part that REMOVABLE names for its class."""
    part = REMOVABLE[toy.class_name]
    return replace(toy, primitives=tuple(p for p in toy.primitives if p.part != part))


def _normalised(shape: Shape) -> tuple[Shape, float]:
    """Centre, ground and scale to the largest size that no camera azimuth can clip; also the new height."""
    points = np.concatenate([outline(primitive) for primitive in shape.primitives], axis=1)
    low, high = points.min(1), points.max(1)
    offset = np.array([-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]])
    radius = np.hypot(points[0] + offset[0], points[1] + offset[1]).max()
    height = high[2] - low[2]
    factor = float(min(MAX_HEIGHT / height, MAX_RADIUS / radius, MAX_REACH / np.hypot(radius, height / 2)))
    primitives = [moved(primitive, offset, factor) for primitive in shape.primitives]
    x, y, z = ((np.array(shape.anchor) + offset) * factor).tolist()
    return Shape(primitives, (x, y, z)), float(height * factor)
