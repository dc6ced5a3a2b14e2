"""Picture styles: what happens to a shaded picture before it is scaled down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .surroundings import smooth_noise

STYLES: tuple[str, ...] = (
    "photo",
    "pencil sketch",
    "watercolor painting",
    "pixel art",
    "cartoon",
    "neon art",
    "vintage photo",
)
FLAT_STYLES = ("pencil sketch", "pixel art", "cartoon", "neon art")
LUMINANCE = np.array([0.30, 0.59, 0.11], np.float32)


@dataclass(frozen=True)
class Layers:
    """A picture at `supersample` times its final size.

    rgb: (H, W, 3) float32 in 0..1. albedo: (H, W, 3), unshaded subject colours. mask: (H, W) bool.
    label: (H, W) int16, changes at every visible edge of the subject; odd where the pattern colour shows.
    """

    rgb: np.ndarray
    albedo: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    supersample: int
    rng: np.random.Generator


def stylize(style: str, layers: Layers) -> np.ndarray:
    """Apply one of STYLES and scale down: (H / supersample, W / supersample, 3) float32 in 0..1."""
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}, expected one of {STYLES}")
    picture = EFFECTS[style](layers) if style in EFFECTS else layers.rgb
    small = shrink(picture, layers.supersample)
    return np.clip(pixelate(small) if style == "pixel art" else small, 0, 1)


def pencil_sketch(layers: Layers) -> np.ndarray:
    tone = layers.rgb @ LUMINANCE
    rows, columns = np.indices(tone.shape)
    period = 4 * layers.supersample
    falling, rising = ((rows + s * columns) % period < period / 3 for s in (-1, 1))
    # Tone alone would lose patterns whose two colours are equally bright.
    hatched = layers.mask & (layers.label % 2 == 1) & rising
    hatched |= layers.mask & (tone < 0.45) & falling
    paper = 0.62 + 0.38 * np.where(layers.mask, tone, 0.35 + 0.65 * tone)
    paper = paper * (1 - 0.35 * hatched) * (1 - 0.7 * edges(layers.label)) - 0.9 * steepness(tone) * ~layers.mask
    return np.clip(paper, 0.08, 0.98)[..., None] * np.array([1.0, 0.99, 0.96], np.float32)


def watercolor_painting(layers: Layers) -> np.ndarray:
    wash = blur(layers.rgb, layers.supersample)
    grain = smooth_noise(layers.rng, len(wash), 8)[..., None]
    pale = (0.26 + 0.76 * wash) * (0.92 + 0.16 * grain)
    return np.clip(pale * (1 - 0.2 * edges(layers.label)[..., None]), 0, 1)


def cartoon(layers: Layers) -> np.ndarray:
    bold = np.clip(0.5 + (layers.rgb - 0.5) * 1.1, 0, 1)
    return posterized(bold, 5) * (1 - 0.95 * edges(layers.label)[..., None])


def neon_art(layers: Layers) -> np.ndarray:
    glow = blur(edges(layers.label).astype(np.float32), layers.supersample)[..., None]
    mask = layers.mask[..., None]
    base = np.where(mask, layers.albedo, layers.rgb)
    vivid = np.clip(base.mean(-1, keepdims=True) + 1.4 * (base - base.mean(-1, keepdims=True)), 0, 1)
    return np.clip(vivid * np.where(mask, 0.5, 0.3) + 1.5 * glow * (vivid * 0.9 + 0.15), 0, 1)


def vintage_photo(layers: Layers) -> np.ndarray:
    gray = (layers.rgb @ LUMINANCE)[..., None]
    faded = 0.17 + 0.78 * (gray + 0.55 * (layers.rgb - gray))
    across = np.linspace(-1, 1, len(gray), dtype=np.float32) ** 2
    vignette = 1 - 0.18 * (across[:, None] + across[None])[..., None]
    return np.clip(faded * np.array([1.10, 0.98, 0.76], np.float32) * vignette, 0, 1)


EFFECTS: dict[str, Callable[[Layers], np.ndarray]] = {
    "pencil sketch": pencil_sketch,
    "watercolor painting": watercolor_painting,
    "cartoon": cartoon,
    "neon art": neon_art,
    "vintage photo": vintage_photo,
}


def pixelate(picture: np.ndarray, blocks: int = 32, levels: int = 6) -> np.ndarray:
    """Big square pixels of few colours; pictures smaller than `blocks` keep their pixels."""
    block = max(len(picture) // blocks, 1)
    if len(picture) % block:
        block = 1
    few = posterized(shrink(picture, block), levels)
    return few.repeat(block, 0).repeat(block, 1)


def posterized(picture: np.ndarray, levels: int) -> np.ndarray:
    """Brightness in few steps; rounding each channel alone would shift hues."""
    gray = np.maximum(picture @ LUMINANCE, 0.02)
    return picture * (np.maximum(np.round(gray * levels), 0.5) / levels / gray)[..., None]


def edges(label: np.ndarray) -> np.ndarray:
    """Both sides of every change of label: (H, W) bool."""
    found = np.zeros(label.shape, bool)
    rows, columns = label[1:] != label[:-1], label[:, 1:] != label[:, :-1]
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= columns
    found[:, :-1] |= columns
    return found


def steepness(gray: np.ndarray) -> np.ndarray:
    """Sum of the absolute slopes of (H, W)."""
    slope = np.zeros_like(gray)
    slope[1:] += np.abs(gray[1:] - gray[:-1])
    slope[:, 1:] += np.abs(gray[:, 1:] - gray[:, :-1])
    return slope


def blur(image: np.ndarray, radius: int) -> np.ndarray:
    """Box blur of (H, W) or (H, W, C) with repeated borders."""
    height, width = image.shape[:2]
    padding = [(radius, radius)] * 2 + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, padding, "edge")
    window = 2 * radius + 1
    rows = total([padded[k : k + height] for k in range(window)])
    return total([rows[:, k : k + width] for k in range(window)]) / np.float32(window**2)


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor x factor blocks of (H, W) or (H, W, C)."""
    height, width = image.shape[:2]
    blocks = image.reshape(height // factor, factor, width // factor, factor, *image.shape[2:])
    return total([blocks[:, i, :, j] for i in range(factor) for j in range(factor)]) / np.float32(factor * factor)


def total(images: list[np.ndarray]) -> np.ndarray:
    """Sum of equal arrays; numpy's own reduction over short axes is several times slower."""
    result = images[0].copy()
    for image in images[1:]:
        result += image
    return result
