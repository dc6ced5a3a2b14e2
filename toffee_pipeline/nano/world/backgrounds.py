"""The twelve places a subject can be in, painted as a ground and a backdrop with low-frequency texture only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .camera import Camera
from .palette import Rgb
from .surroundings import Surroundings, make_surroundings, smooth_noise

Painter = Callable[[Surroundings, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def paint_background(background: str, camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, Surroundings]:
    """The empty place: rgb (H, W, 3) float32 in 0..1, and what it is made of."""
    if background not in PAINTERS:
        raise ValueError(f"unknown background {background!r}, expected one of {BACKGROUNDS}")
    distance, painter = PAINTERS[background]
    around = make_surroundings(camera, distance, smooth_noise(rng, camera.size, 6))
    ground, backdrop = painter(around, rng)
    return np.where(around.on_ground[..., None], ground, backdrop).astype(np.float32), around


def empty_surroundings(background: str, camera: Camera) -> Surroundings:
    """The place without its details."""
    return make_surroundings(camera, PAINTERS[background][0], np.zeros((camera.size, camera.size), np.float32))


def grass(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.24, 0.56, 0.16), (0.36, 0.68, 0.24), around.noise)
    sky = blend((0.82, 0.92, 1.0), (0.45, 0.70, 0.97), around.v / 2.5)
    hills = around.v < 0.45 + 0.25 * np.sin(around.u * 1.1 + rng.uniform(0, 6))
    return ground, fill(sky, hills, (0.20, 0.47, 0.20))


def beach(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.90, 0.78, 0.54), (0.98, 0.88, 0.66), around.noise)
    shore = 1.15 + 0.12 * np.sin(around.u * 1.7 + rng.uniform(0, 6))
    ground = fill(ground, around.reach > shore, (0.95, 0.98, 0.98))
    ground = fill(ground, around.reach > shore + 0.2, (0.10, 0.52, 0.76))
    sky = blend((0.90, 0.95, 1.0), (0.50, 0.76, 0.98), around.v / 2.5)
    sun = (around.u - 2 * rng.uniform(-0.6, 0.6) - center(around.u)) ** 2 + (around.v - 1.8) ** 2 < 0.12
    return ground, fill(sky, sun, (1.0, 0.93, 0.55))


def snow(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.84, 0.89, 0.97), (0.97, 0.98, 1.0), around.noise)
    sky = blend((0.84, 0.90, 0.97), (0.60, 0.74, 0.90), around.v / 2.5)
    peak = 1.7 * (1 - triangle(around.u * 0.3 + rng.random())) + 0.3
    sky = fill(sky, around.v < peak, (0.97, 0.98, 1.0))
    return ground, fill(sky, around.v < peak * 0.6, (0.52, 0.59, 0.72))


def desert(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ripples = 0.5 + 0.5 * np.sin(around.x * 4 + 1.2 * np.sin(around.y * 2 + rng.uniform(0, 6)))
    ground = blend((0.80, 0.52, 0.26), (0.92, 0.66, 0.38), ripples)
    sky = blend((1.0, 0.88, 0.62), (0.97, 0.62, 0.34), around.v / 2.5)
    dunes = around.v < 0.35 + 0.35 * np.sin(around.u * 0.9 + rng.uniform(0, 6))
    sky = fill(sky, dunes, (0.72, 0.44, 0.22))
    u = repeat(around.u + rng.uniform(0, 3.2), 3.2)
    arms = (np.abs(u) < 0.42) & (np.abs(around.v - 0.75) < 0.1) | (np.abs(np.abs(u) - 0.36) < 0.08) & (
        np.abs(around.v - 0.95) < 0.3
    )
    cactus = (np.abs(u) < 0.12) & (around.v < 1.6) | arms
    return ground, fill(sky, cactus, (0.20, 0.45, 0.20))


def city_street(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.32, 0.32, 0.35), (0.40, 0.40, 0.43), around.noise)
    ground = fill(ground, np.abs(around.reach - 0.95) < 0.06, (0.93, 0.84, 0.35))
    ground = fill(ground, around.reach > 1.5, (0.66, 0.65, 0.63))
    sky = np.full((*around.v.shape, 3), (0.72, 0.84, 0.95), np.float32)
    u = around.u + rng.uniform(0, 9)
    block = np.floor(u / 0.9)
    walls = blend((0.50, 0.38, 0.36), (0.68, 0.62, 0.62), scramble(block))
    sky = np.where((around.v < 1.5 + 1.2 * scramble(block + 5))[..., None], walls, sky)
    windows = (
        (np.abs(repeat(u, 0.45)) < 0.12)
        & (np.abs(repeat(around.v, 0.5)) < 0.13)
        & (around.v < 1.25 + 1.2 * scramble(block + 5))
    )
    return ground, fill(sky, windows, (1.0, 0.90, 0.55))


def wooden_floor(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    boards = around.y * 2.4 + rng.uniform(0, 9)
    ground = blend((0.50, 0.31, 0.15), (0.68, 0.45, 0.24), scramble(np.floor(boards)))
    ground = fill(ground, np.abs(repeat(boards, 1.0)) > 0.45, (0.32, 0.19, 0.09))
    wall = blend((0.88, 0.83, 0.70), (0.82, 0.76, 0.64), around.v / 2.5)
    return ground, fill(wall, around.v < 0.2, (0.97, 0.96, 0.93))


def night_sky(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.07, 0.12, 0.16), (0.12, 0.18, 0.22), around.noise)
    sky = blend((0.16, 0.18, 0.42), (0.03, 0.04, 0.16), around.v / 2.5)
    sky = fill(sky, stars(around, rng, 14), (1.0, 1.0, 0.9))
    u = around.u - center(around.u) - rng.choice([-1, 1]) * rng.uniform(0.9, 1.3)
    disc = u**2 + (around.v - 1.75) ** 2 < 0.09
    bite = (u - 0.16) ** 2 + (around.v - 1.83) ** 2 < 0.07
    return ground, fill(sky, disc & ~bite, (1.0, 0.96, 0.75))


def forest(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.22, 0.24, 0.10), (0.33, 0.33, 0.14), around.noise)
    sky = blend((0.62, 0.80, 0.66), (0.70, 0.86, 0.80), around.v / 2.5)
    for spacing, tall, color in ((0.8, 2.9, (0.16, 0.42, 0.24)), (1.3, 2.3, (0.06, 0.27, 0.13))):
        u = np.abs(repeat(around.u + rng.uniform(0, 9), spacing))
        sky = fill(sky, (u < 0.07) & (around.v < 0.6), (0.30, 0.19, 0.10))
        tier = np.maximum((tall - around.v) * 0.2, 0) + 0.10 * triangle(around.v * 1.6)
        sky = fill(sky, (u < tier) & (around.v > 0.35) & (around.v < tall), color)
    return ground, sky


def outer_space(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    sky = blend((0.04, 0.02, 0.10), (0.20, 0.07, 0.30), np.clip(2 * around.noise - 0.8, 0, 1))
    sky = fill(sky, stars(around, rng, 20), (1.0, 1.0, 1.0))
    u = around.u - center(around.u) - rng.choice([-1, 1]) * rng.uniform(0.8, 1.2)
    v = around.v - rng.uniform(1.5, 1.9)
    sky = fill(sky, u**2 + v**2 < 0.16, (0.90, 0.60, 0.35))
    ring = (u / 0.75) ** 2 + ((v - 0.3 * u) / 0.16) ** 2
    sky = fill(sky, (ring < 1) & (ring > 0.55) & ((v < 0.3 * u) | (u**2 + v**2 > 0.16)), (0.95, 0.85, 0.65))
    return sky, sky


def under_water(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    floor = blend((0.42, 0.62, 0.52), (0.58, 0.74, 0.60), around.noise)
    ground = floor + (np.array((0.08, 0.45, 0.66), np.float32) - floor) * np.clip(around.reach / 2.4, 0, 1)[..., None]
    water = blend((0.08, 0.45, 0.66), (0.30, 0.78, 0.86), around.v / 2.5)
    rays = np.clip(np.sin((around.u + 0.35 * around.v) * 3 + rng.uniform(0, 6)), 0, 1)
    water = water + (0.12 * rays * np.clip(around.v / 2, 0, 1))[..., None]
    weed = np.abs(repeat(around.u + 0.08 * np.sin(around.v * 6) + rng.uniform(0, 9), 1.1)) < 0.07
    water = fill(water, weed & (around.v < 0.9), (0.10, 0.42, 0.30))
    for _ in range(5):
        du, dv = rng.uniform(-1.5, 1.5), rng.uniform(0.7, 2.2)
        away = np.sqrt((around.u - center(around.u) - du) ** 2 + (around.v - dv) ** 2)
        water = fill(water, np.abs(away - 0.09) < 0.03, (0.80, 0.95, 0.97))
    return ground, water


def brick_wall(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.52, 0.50, 0.47), (0.60, 0.58, 0.55), around.noise)
    row = np.floor(around.v / 0.24)
    u = around.u / 0.52 + 0.5 * (row % 2) + rng.uniform(0, 9)
    wall = blend((0.58, 0.20, 0.13), (0.72, 0.30, 0.20), scramble(np.floor(u) + 17 * row))
    mortar = (np.abs(repeat(u, 1.0)) > 0.45) | (np.abs(repeat(around.v / 0.24, 1.0)) > 0.4)
    return ground, fill(wall, mortar, (0.80, 0.75, 0.68))


def white_table(around: Surroundings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ground = blend((0.91, 0.91, 0.90), (0.97, 0.97, 0.96), around.noise)
    hue = rng.uniform(-0.03, 0.03, 3).astype(np.float32)
    wall = blend((0.74, 0.79, 0.84), (0.66, 0.71, 0.77), around.v / 2.5) + hue
    return fill(ground, around.reach > 1.45, (0.80, 0.80, 0.80)), wall


def blend(first: Rgb, second: Rgb, weight: np.ndarray) -> np.ndarray:
    """From `first` where the weight is 0 to `second` where it is 1: (H, W) -> (H, W, 3)."""
    start, end = np.array(first, np.float32), np.array(second, np.float32)
    return start + np.clip(weight, 0, 1)[..., None] * (end - start)


def fill(image: np.ndarray, where: np.ndarray, color: Rgb) -> np.ndarray:
    """The image with a flat colour where the mask is set; writes into the image."""
    image[where] = color
    return image


def repeat(position: np.ndarray, period: float) -> np.ndarray:
    """Signed offset from the nearest multiple of the period."""
    return position - np.round(position / period) * period


def triangle(position: np.ndarray) -> np.ndarray:
    """Triangle wave in 0..1 of period 1."""
    return 2 * np.abs(position - np.round(position))


def scramble(cell: np.ndarray) -> np.ndarray:
    """A fixed pseudo-random value in 0..1 per integer cell."""
    return np.abs(np.sin(cell * 12.9898) * 437.585) % 1


def center(u: np.ndarray) -> float:
    """Lateral backdrop coordinate in the middle of the picture."""
    return float(u[u.shape[0] // 2, u.shape[1] // 2])


def stars(around: Surroundings, rng: np.random.Generator, count: int) -> np.ndarray:
    """A few small round stars (H, W) bool."""
    size = len(around.u)
    found = np.zeros(around.u.shape, bool)
    radius = max(size // 64, 1)
    for row, column in rng.integers(0, size - radius, (count, 2)):
        found[row : row + radius, column : column + radius] = True
    return found


PAINTERS: dict[str, tuple[float, Painter]] = {
    "on the grass": (4.0, grass),
    "on a beach": (4.0, beach),
    "in the snow": (4.0, snow),
    "in the desert": (4.0, desert),
    "on a city street": (2.2, city_street),
    "on a wooden floor": (1.7, wooden_floor),
    "under a night sky": (3.0, night_sky),
    "in a forest": (2.2, forest),
    "in outer space": (4.0, outer_space),
    "under water": (2.4, under_water),
    "in front of a brick wall": (1.3, brick_wall),
    "on a white table": (1.6, white_table),
}
BACKGROUNDS: tuple[str, ...] = tuple(PAINTERS)
"""The places, as captions word them."""
