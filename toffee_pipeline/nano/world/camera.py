"""The camera: a view, its rays and its projection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .primitives import Primitive, corners

DISTANCE = 3.6
HALF_FIELD = 0.266


@dataclass(frozen=True)
class View:
    """Where the camera stands, in radians: azimuth 0 sees the front, pi/2 the subject's left side.

    elevation: 0.06 to 0.28 is the training range. zoom: magnification, 1 shows the whole subject with additions.
    """

    azimuth: float
    elevation: float
    zoom: float = 1.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on a square image of `size` pixels; it looks at a point over the ground's origin."""

    view: View
    target_height: float
    size: int

    @cached_property
    def axes(self) -> np.ndarray:
        """(3, 3) float64 rows: right, up, forward."""
        azimuth, elevation = self.view.azimuth, self.view.elevation
        c, s = np.cos(azimuth), np.sin(azimuth)
        forward = np.array([c * np.cos(elevation), s * np.cos(elevation), -np.sin(elevation)])
        right = np.array([s, -c, 0.0])
        return np.stack([right, np.cross(right, forward), forward])

    @cached_property
    def origin(self) -> np.ndarray:
        """(3,) float64 position."""
        return np.array([0, 0, self.target_height]) - DISTANCE * self.axes[2]

    @property
    def half_field(self) -> float:
        """Tangent of half the field of view."""
        return HALF_FIELD / self.view.zoom

    @cached_property
    def rays(self) -> np.ndarray:
        """(3, size, size) float32 directions of depth 1: a ray parameter is the depth along the optical axis."""
        steps = ((np.arange(self.size) + 0.5) / self.size * 2 - 1) * self.half_field
        right, up, forward = self.axes[:, :, None, None]
        return (forward + right * steps[None, :] - up * steps[:, None]).astype(np.float32)

    def window(self, primitive: Primitive) -> tuple[slice, slice]:
        """Rows and columns that can see the solid."""
        seen = self.axes @ (corners(primitive) - self.origin[:, None])
        across, down = seen[0] / seen[2], -seen[1] / seen[2]
        return self._span(down), self._span(across)

    def _span(self, position: np.ndarray) -> slice:
        pixel = (position / self.half_field + 1) / 2 * self.size
        return slice(max(int(pixel.min()), 0), max(int(pixel.max()) + 1, 0))
