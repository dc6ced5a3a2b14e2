"""A row's pictures as they are shown: with a label, a mask on its image, small enough for a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from toffee_pipeline.errors import ImageError
from toffee_pipeline.images import decode, decode_depth, decode_mask, encode, encode_png
from toffee_pipeline.schema.table import Table

THUMBNAIL_PX = 256
PIXELATED_PX = 128
MAX_THUMBNAIL_BYTES = 20_000
QUALITIES = (80, 60, 40, 20, 5)
TINT = np.array([255, 64, 160], np.float32)
PARTS = {
    "generation": {
        "subject": "subject_image",
        "its mask": "mask",
        "draft": "draft_image",
        "target, refined": "target_image",
        "input, other view": "input_image",
    },
    "edit": {
        "input = subject": "input_image",
        "editing mask": "mask",
        "draft": "draft_image",
        "target": "target_image",
    },
}
"""For each kind of pair the label and column of the pictures, in the order in which they came about."""
UNDER_MASK = {"generation": "subject_image", "edit": "input_image", "subject": "image"}
"""The picture that a mask is shown on."""


@dataclass(frozen=True)
class Tile:
    """One picture. src: its URL, or None with the reason in `missing`. pixelated: small, to be shown enlarged."""

    label: str
    src: str | None
    pixelated: bool = False
    missing: str = ""


def parts_of(kind: str, table: Table) -> dict[str, str]:
    """Label and column of the pictures of a row."""
    return PARTS.get(kind) or {column: column for column in table.images}


def columns_for(kind: str, column: str) -> tuple[str, ...]:
    """What showing this picture needs."""
    return (column, UNDER_MASK[kind]) if column == "mask" else (column,)


def inline_tile(label: str, kind: str, column: str, pictures: Mapping[str, bytes | None], max_pixels: int) -> Tile:
    """The picture inside the page. pictures: the columns that `columns_for` names, and perhaps more. max_pixels: of a
    picture of the run."""
    try:
        rgb = pixels(kind, column, pictures, max_pixels)
    except ImageError as error:
        return Tile(label, None, missing=str(error))
    if rgb is None:
        return Tile(label, None, missing="not made")
    data, media_type = thumbnail(rgb)
    return Tile(label, f"data:{media_type};base64,{base64.b64encode(data).decode()}", max(rgb.shape) <= PIXELATED_PX)


def pixels(kind: str, column: str, pictures: Mapping[str, bytes | None], max_pixels: int) -> np.ndarray | None:
    """uint8 RGB (H, W, 3): a mask tints its image, depth is gray and brightest where it is nearest. None where it was
    not made. Raises ImageError."""
    data = pictures[column]
    if data is None:
        return None
    if column == "depth":
        return np.repeat((255 * decode_depth(data, column, max_pixels)).astype(np.uint8)[..., None], 3, axis=2)
    if column != "mask":
        return decode(data, column, max_pixels)
    under = pictures[UNDER_MASK[kind]]
    if under is None:
        return None
    return _overlay(decode(under, UNDER_MASK[kind], max_pixels), decode_mask(data, column, max_pixels))


def _overlay(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with the masked region tinted."""
    if mask.shape != rgb.shape[:2]:
        raise ImageError(f"mask of {mask.shape[1]} x {mask.shape[0]} px on an image of {rgb.shape[1]} x {rgb.shape[0]}")
    return np.where(mask[..., None], 0.4 * rgb + 0.6 * TINT, rgb).astype(np.uint8)


def thumbnail(rgb: np.ndarray) -> tuple[bytes, str]:
    """An image file of at most `MAX_THUMBNAIL_BYTES`, and its media type.

    Small pictures exactly, as PNG, where that is small enough; others scaled down to `THUMBNAIL_PX`, as WebP of the
    best quality that is.
    """
    if max(rgb.shape) <= PIXELATED_PX and len(data := encode_png(rgb, 9)) <= MAX_THUMBNAIL_BYTES:
        return data, "image/png"
    image = Image.fromarray(rgb)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    small = np.array(image)
    files = (encode(small, "webp", quality) for quality in QUALITIES)
    return next(data for data in files if len(data) <= MAX_THUMBNAIL_BYTES), "image/webp"
