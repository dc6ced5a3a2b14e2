"""Render a subject in a place: picture, depth, mask and canonical coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backgrounds import empty_surroundings, paint_background
from .camera import Camera, View
from .raycast import Hits, cast
from .styles import FLAT_STYLES, Layers, shrink, stylize
from .surroundings import Surroundings
from .toys import Toy

NEAR, FAR = 2.6, 12.0
DIM_PLACES = ("under a night sky", "in outer space")


@dataclass(frozen=True)
class Rendering:
    """What `render` returns, all (H, W) or (H, W, C).

    rgb: uint8 (H, W, 3).
    inverse_depth: float32 (H, W) in 0..1, (1/z - 1/12) / (1/2.6 - 1/12) clipped, z the depth along the optical axis in
        canonical units (the subject is about 3 to 4.3 away): 1 is nearest.
    mask: bool (H, W), the subject with its additions.
    coordinates: float32 (H, W, 3), canonical point of the surface that the pixel shows, NaN where the mask is unset.
    """

    rgb: np.ndarray
    inverse_depth: np.ndarray
    mask: np.ndarray
    coordinates: np.ndarray


def render(
    subject: Toy,
    view: View,
    background: str,
    style: str = "photo",
    size_px: int = 64,
    seed: int = 0,
    supersample: int = 2,
) -> Rendering:
    """Render a square picture; deterministic. `seed` draws the light and the details of the place.

    background: one of BACKGROUNDS. style: one of STYLES; it changes rgb only.
    """
    rng = np.random.default_rng(seed)
    light = _light_direction(rng)
    camera = Camera(view, 0.16 + 0.46 * subject.height, size_px * supersample)
    picture, around = paint_background(background, camera, rng)
    hits = cast(subject, camera)
    if background != "in outer space":
        picture *= _shadow(around, light)[..., None]
    shading = _flat_shading if style in FLAT_STYLES else _soft_shading
    brightness = 0.85 if background in DIM_PLACES else 1.0
    picture[hits.mask] = np.clip(shading(hits, light, camera) * brightness, 0, 1).T
    albedo = np.zeros_like(picture)
    albedo[hits.mask] = hits.albedo.T
    rgb = stylize(style, Layers(picture, albedo, hits.mask, hits.label, supersample, rng))
    return _rendering(rgb, hits, around, supersample)


def place_inverse_depth(subject: Toy, view: View, background: str, size_px: int = 64) -> np.ndarray:
    """The `inverse_depth` of the empty place where `render` would put the subject: float32 (size_px, size_px)."""
    return _inverse(empty_surroundings(background, Camera(view, 0.16 + 0.46 * subject.height, size_px)).depth)


def _inverse(depth: np.ndarray) -> np.ndarray:
    return np.clip((1 / depth - 1 / FAR) / (1 / NEAR - 1 / FAR), 0, 1).astype(np.float32)


def _light_direction(rng: np.random.Generator) -> np.ndarray:
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.4)
    direction = np.array([np.cos(azimuth), np.sin(azimuth), height], np.float32) / np.hypot(1, height)
    return direction.astype(np.float32)


def _soft_shading(hits: Hits, light: np.ndarray, camera: Camera) -> np.ndarray:
    rays = camera.rays[:, hits.mask]
    half_way = light[:, None] - rays / np.sqrt((rays * rays).sum(0))
    half_way /= np.sqrt((half_way * half_way).sum(0))
    diffuse = 0.55 + 0.5 * np.clip(light @ hits.normals, 0, 1)
    highlight = 0.22 * np.clip((hits.normals * half_way).sum(0), 0, 1) ** 24
    return hits.albedo * diffuse + highlight


def _flat_shading(hits: Hits, light: np.ndarray, camera: Camera) -> np.ndarray:
    return hits.albedo * np.where(light @ hits.normals > 0.1, np.float32(1), np.float32(0.78))


def _shadow(around: Surroundings, light: np.ndarray) -> np.ndarray:
    squared = (around.x + 0.12 * light[0]) ** 2 + (around.y + 0.12 * light[1]) ** 2
    return np.where(around.on_ground, 1 - 0.45 * np.exp(squared * -2.6), np.float32(1))


def _rendering(rgb: np.ndarray, hits: Hits, around: Surroundings, supersample: int) -> Rendering:
    mask = shrink(hits.mask.astype(np.float32), supersample) >= 0.5
    points = np.full((*hits.mask.shape, 3), np.nan, np.float32)
    points[hits.mask] = hits.points.T
    nearest = _blocks(hits.depth, supersample).argmin(-1)[..., None]
    surface = np.take_along_axis(_blocks(hits.depth, supersample), nearest, -1)[..., 0]
    place = _blocks(around.depth, supersample)[..., 0]
    inverse_depth = _inverse(np.where(mask, surface, place))
    channels = [np.take_along_axis(_blocks(points[..., k], supersample), nearest, -1)[..., 0] for k in range(3)]
    coordinates = np.stack(channels, -1)
    coordinates[~mask] = np.nan
    return Rendering(
        rgb=(rgb * 255).round().astype(np.uint8),
        inverse_depth=inverse_depth,
        mask=mask,
        coordinates=coordinates,
    )


def _blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """(H, W) -> (H / factor, W / factor, factor * factor): the sub-pixels of every pixel."""
    height, width = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor)
    return blocks.swapaxes(1, 2).reshape(height // factor, width // factor, factor * factor)
