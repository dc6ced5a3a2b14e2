"""What surrounds a toy: a ground plane that ends at an upright backdrop facing the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera


@dataclass(frozen=True)
class Surroundings:
    """Per pixel (H, W) float32, unless said otherwise.

    on_ground: bool. x, y: ground point. reach: distance along the view behind the subject's centre.
    u, v: backdrop point, lateral and height, in canonical units. depth: along the optical axis.
    noise: smooth texture in 0..1.
    """

    on_ground: np.ndarray
    x: np.ndarray
    y: np.ndarray
    reach: np.ndarray
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray
    noise: np.ndarray


def make_surroundings(camera: Camera, backdrop: float, noise: np.ndarray) -> Surroundings:
    """Intersect the camera's rays with the ground and with a backdrop at distance `backdrop` behind the subject."""
    rays, origin = camera.rays, camera.origin.astype(np.float32)
    azimuth = camera.view.azimuth
    heading = np.array([np.cos(azimuth), np.sin(azimuth)], np.float32)
    along = np.tensordot(heading, rays[:2], 1)
    across = np.tensordot(camera.axes[0, :2].astype(np.float32), rays[:2], 1)
    start = float(heading @ origin[:2])
    to_backdrop = (np.float32(backdrop) - start) / along
    to_ground = np.where(rays[2] < -1e-3, -origin[2] / np.minimum(rays[2], -1e-3), np.float32(1e3))
    on_ground = to_ground < to_backdrop
    depth = np.where(on_ground, to_ground, to_backdrop)
    return Surroundings(
        on_ground=on_ground,
        x=origin[0] + depth * rays[0],
        y=origin[1] + depth * rays[1],
        reach=start + depth * along,
        # Turning the camera slides the backdrop, as a panorama would.
        u=to_backdrop * across + np.float32(2 * azimuth),
        v=origin[2] + to_backdrop * rays[2],
        depth=depth,
        noise=noise,
    )


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Value noise (size, size) float32 in 0..1 with about `cells` blobs per side."""
    values = rng.random((cells + 2, cells + 2)).astype(np.float32)
    position = np.arange(size, dtype=np.float32) * (cells / size)
    cell = position.astype(int)
    weight = position - cell
    weight = weight * weight * (3 - 2 * weight)
    rows = values[cell] * (1 - weight)[:, None] + values[cell + 1] * weight[:, None]
    return rows[:, cell] * (1 - weight) + rows[:, cell + 1] * weight
