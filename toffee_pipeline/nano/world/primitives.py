"""Solid shapes that can be intersected with rays in closed form: boxes and clipped quadrics.

In its own frame every shape lies within the cube [-1, 1]^3. A quadric is the part with |z| <= 1 of
x^2 + y^2 + c2 z^2 + c1 z + c0 = 0, closed by flat caps; `coefficients` is (c2, c1, c0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32).T
CAP_TOLERANCE = 2e-3
TINY = np.float32(1e-7)


@dataclass(frozen=True)
class Primitive:
    """One solid: world point = center + rotation @ (scale * local point).

    kind: "box" or "quadric". slot: index in the subject's palette.
    part: the removable part or the addition it belongs to, "" for the body.
    """

    kind: str
    center: Vector
    scale: Vector
    rotation: Matrix
    coefficients: Vector
    slot: int
    part: str = ""

    def to_local(self) -> np.ndarray:
        """The (3, 3) float64 matrix from world offsets to the local frame."""
        return np.array(self.rotation).T / np.array(self.scale)[:, None]


def rotation(axis: str, angle: float) -> Matrix:
    """Right-handed rotation about "x", "y" or "z" by `angle` radians."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    if axis == "x":
        return ((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c))
    if axis == "y":
        return ((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c))
    return ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))


def combined(first: Matrix, second: Matrix) -> Matrix:
    """The rotation that applies `second`, then `first`."""
    return _matrix(np.array(first) @ np.array(second))


UPRIGHT = {"z": IDENTITY, "x": rotation("y", np.pi / 2), "y": rotation("x", -np.pi / 2)}


def sphere(
    center: Sequence[float], radius: float | Sequence[float], slot: int = 0, part: str = "", turn: Matrix = IDENTITY
) -> Primitive:
    """A ball, or an ellipsoid when `radius` has three values."""
    return Primitive("quadric", _vector(center), _vector(radius), turn, (1.0, 0.0, -1.0), slot, part)


def box(
    center: Sequence[float], half_size: Sequence[float], slot: int = 0, part: str = "", turn: Matrix = IDENTITY
) -> Primitive:
    """A box given by its half edge lengths."""
    return Primitive("box", _vector(center), _vector(half_size), turn, (0.0, 0.0, 0.0), slot, part)


def frustum(
    center: Sequence[float],
    bottom: float,
    top: float,
    half_height: float,
    slot: int = 0,
    part: str = "",
    axis: str = "z",
    turn: Matrix | None = None,
    squash: float = 1.0,
) -> Primitive:
    """A truncated cone along `axis` (a cone when one radius is 0); `squash` narrows it in its local y."""
    widest = max(bottom, top)
    mean, slope = (bottom + top) / (2 * widest), (top - bottom) / (2 * widest)
    coefficients = (-slope * slope, -2 * mean * slope, -mean * mean)
    scale = _vector((widest, widest * squash, half_height))
    return Primitive("quadric", _vector(center), scale, turn or UPRIGHT[axis], coefficients, slot, part)


def cylinder(
    center: Sequence[float],
    radius: float,
    half_height: float,
    slot: int = 0,
    part: str = "",
    axis: str = "z",
    turn: Matrix | None = None,
) -> Primitive:
    """A cylinder along `axis`."""
    return frustum(center, radius, radius, half_height, slot, part, axis, turn)


def dome(
    center: Sequence[float], half_size: Sequence[float], slot: int = 0, part: str = "", upside_down: bool = False
) -> Primitive:
    """Half an ellipsoid with its flat side down (a bowl when `upside_down`), centred in its bounding box."""
    tilt = -0.5 if upside_down else 0.5
    return Primitive("quadric", _vector(center), _vector(half_size), IDENTITY, (0.25, tilt, -0.75), slot, part)


def intersect(primitive: Primitive, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Ray parameter of the first hit.

    origin: (3,); directions: (3, ...) float32, any length. Returns float32 of shape (...), inf where there is no hit.
    """
    to_local = primitive.to_local()
    start = (to_local @ (np.asarray(origin, float) - primitive.center)).astype(np.float32)
    rays = np.tensordot(to_local.astype(np.float32), directions, 1)
    if primitive.kind == "box":
        return _intersect_box(start, rays)
    return _intersect_quadric(primitive.coefficients, start, rays)


def normals(primitive: Primitive, points: np.ndarray) -> np.ndarray:
    """Outward unit normals (3, N) float32 at surface points (3, N)."""
    to_local = primitive.to_local().astype(np.float32)
    local = to_local @ (points - np.array(primitive.center, np.float32)[:, None])
    if primitive.kind == "box":
        facing = np.abs(local)
        gradient = np.where(facing == facing.max(0), np.sign(local), 0)
    else:
        c2, c1, c0 = primitive.coefficients
        gradient = np.stack([local[0], local[1], c2 * local[2] + c1 / 2])
        for cap in (-1, 1):
            if -(c2 + c1 * cap + c0) > 1e-6:
                gradient[:, np.abs(local[2] - cap) < CAP_TOLERANCE] = np.array([[0], [0], [cap]])
    world = to_local.T @ gradient.astype(np.float32)
    return world / (np.sqrt((world * world).sum(0)) + TINY)


def corners(primitive: Primitive) -> np.ndarray:
    """The eight corners (3, 8) of the oriented box around the solid."""
    return _to_world(primitive, CORNERS)


def outline(primitive: Primitive) -> np.ndarray:
    """Points (3, N) whose convex hull is close to the solid's own."""
    if primitive.kind == "box":
        return corners(primitive)
    c2, c1, c0 = primitive.coefficients
    height = np.linspace(-1, 1, 9)[:, None]
    radius = np.sqrt(np.maximum(-(c2 * height**2 + c1 * height + c0), 0))
    angle = np.arange(24)[None] * (np.pi / 12)
    ring = [radius * np.cos(angle), radius * np.sin(angle), height + 0 * angle]
    return _to_world(primitive, np.stack(ring).reshape(3, -1))


def moved(primitive: Primitive, offset: np.ndarray, factor: float) -> Primitive:
    """The solid after p -> (p + offset) * factor."""
    center = (np.array(primitive.center) + offset) * factor
    scale = np.array(primitive.scale) * factor
    fields = primitive.kind, _vector(center), _vector(scale), primitive.rotation
    return Primitive(*fields, primitive.coefficients, primitive.slot, primitive.part)


def _intersect_box(start: np.ndarray, rays: np.ndarray) -> np.ndarray:
    inverse = 1 / np.where(np.abs(rays) < TINY, TINY, rays)
    start = start.reshape(3, *[1] * (rays.ndim - 1))
    low, high = (-1 - start) * inverse, (1 - start) * inverse
    enter, leave = np.minimum(low, high).max(0), np.maximum(low, high).min(0)
    return np.where((enter < leave) & (enter > 0), enter, np.float32(np.inf))


def _intersect_quadric(coefficients: Vector, start: np.ndarray, rays: np.ndarray) -> np.ndarray:
    c2, c1, c0 = (np.float32(c) for c in coefficients)
    (x, y, z), (dx, dy, dz) = start, rays
    a = dx * dx + dy * dy + c2 * dz * dz
    a = np.where(np.abs(a) < TINY, TINY, a)
    half_b = x * dx + y * dy + (c2 * z + c1 / 2) * dz
    c = x * x + y * y + c2 * z * z + c1 * z + c0
    discriminant = half_b * half_b - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    first = np.full(a.shape, np.inf, np.float32)
    for sign in (-1, 1):
        t = (sign * root - half_b) / a
        valid = (discriminant > 0) & (t > 0) & (np.abs(z + t * dz) <= 1) & (t < first)
        first = np.where(valid, t, first)
    dz = np.where(np.abs(dz) < TINY, TINY, dz)
    for cap in (-1, 1):
        radius_squared = -(c2 + c1 * cap + c0)
        if radius_squared > 1e-6:
            t = (cap - z) / dz
            valid = (t > 0) & ((x + t * dx) ** 2 + (y + t * dy) ** 2 <= radius_squared) & (t < first)
            first = np.where(valid, t, first)
    return first


def _to_world(primitive: Primitive, local: np.ndarray) -> np.ndarray:
    scaled = local * np.array(primitive.scale)[:, None]
    return np.array(primitive.rotation) @ scaled + np.array(primitive.center)[:, None]


def _vector(values: float | Sequence[float] | np.ndarray) -> Vector:
    x, y, z = np.broadcast_to(np.asarray(values, float), 3).tolist()
    return x, y, z


def _matrix(values: np.ndarray) -> Matrix:
    first, second, third = (_vector(row) for row in values)
    return first, second, third
