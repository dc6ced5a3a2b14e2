"""Surface patterns: solid textures evaluated at canonical coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .primitives import Vector

PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted", "checkered", "patchy", "banded")


@dataclass(frozen=True)
class PatternParameters:
    """frequency: 4..7 radians per unit length; direction: unit vector of the stripes; phase: offsets, 0..6."""

    frequency: float
    direction: Vector
    phase: Vector


def draw_parameters(rng: np.random.Generator) -> PatternParameters:
    """Random parameters; stripes are never close to horizontal, so that they differ from bands."""
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    direction = (float(np.cos(angle) * np.cos(tilt)), float(np.sin(angle) * np.cos(tilt)), float(np.sin(tilt)))
    phase = tuple(rng.uniform(0, 6, 3).tolist())
    return PatternParameters(float(rng.uniform(5.0, 8.0)), direction, phase)


def pattern_mask(pattern: str, parameters: PatternParameters, points: np.ndarray) -> np.ndarray:
    """Where the pattern colour covers the main colour: points (3, N) -> bool (N,)."""
    frequency, phase = parameters.frequency, np.array(parameters.phase, np.float32)[:, None]
    if pattern == "striped":
        along = np.tensordot(np.array(parameters.direction, np.float32), points, 1)
        return np.sin(along * frequency * 2.2 + phase[0]) > 0.1
    if pattern == "banded":
        return np.sin(points[2] * frequency * 2.0 + phase[0]) > 0.1
    if pattern == "dotted":
        cell = points * (frequency * 0.4) + phase
        # Two interleaved lattices: one alone leaves whole surfaces without a dot.
        return (_to_lattice(cell) < 0.09) | (_to_lattice(cell + 0.5) < 0.09)
    if pattern == "checkered":
        return np.floor(points * (frequency * 0.6) + phase).sum(0) % 2 > 0
    if pattern == "patchy":
        return np.sin(points * (frequency * 1.1) + phase).sum(0) > 0.5
    if pattern == "plain":
        return np.zeros(points.shape[1], bool)
    raise ValueError(f"unknown pattern {pattern!r}, expected one of {PATTERNS}")


def _to_lattice(cell: np.ndarray) -> np.ndarray:
    offset = cell - np.round(cell)
    return (offset * offset).sum(0)
