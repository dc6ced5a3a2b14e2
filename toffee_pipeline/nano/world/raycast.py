"""Ray casting of a subject: which solid every pixel sees, and its point, normal and colour there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .palette import MAIN
from .patterns import pattern_mask
from .primitives import intersect, normals
from .toys import Toy

NOTHING = -1


@dataclass(frozen=True)
class Hits:
    """What the pixels see. Image-shaped (H, W): depth float32 (inf off the subject), label int16 (NOTHING off it, odd
    where the pattern colour shows), mask bool. One column per hit pixel (3, N), float32: points, normals, albedo 0..1.
    """

    depth: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray


def cast(subject: Toy, camera: Camera) -> Hits:
    """Find the nearest surface along every ray of the camera."""
    depth, index = _nearest(subject, camera)
    mask = index != NOTHING
    seen = index[mask]
    points = camera.origin.astype(np.float32)[:, None] + depth[mask] * camera.rays[:, mask]
    surface_normals = np.empty_like(points)
    for k in np.unique(seen):
        chosen = seen == k
        surface_normals[:, chosen] = normals(subject.primitives[k], points[:, chosen])
    slots = np.array([primitive.slot for primitive in subject.primitives], int)[seen]
    albedo = np.array(subject.palette, np.float32).T[:, slots]
    covered = np.flatnonzero(slots == MAIN)
    covered = covered[pattern_mask(subject.pattern, subject.pattern_parameters, points[:, covered])]
    albedo[:, covered] = np.array(subject.pattern_color, np.float32)[:, None]
    seen = seen * 2
    seen[covered] += 1
    label = np.full(index.shape, NOTHING, np.int16)
    label[mask] = seen
    return Hits(depth, label, mask, points, surface_normals, albedo)


def _nearest(subject: Toy, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    depth = np.full((camera.size, camera.size), np.inf, np.float32)
    index = np.full(depth.shape, NOTHING, np.int16)
    for k, primitive in enumerate(subject.primitives):
        window = camera.window(primitive)
        found = intersect(primitive, camera.origin, camera.rays[:, *window])
        closer = found < depth[window]
        depth[window][closer] = found[closer]
        index[window][closer] = k
    return depth, index
