"""The sample grid: what the network draws beside what it should, one row per example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP_PX = 2
FONT_PX = 13
HEADER_PX = 20
SMALL_PX, LARGE_PX = 128, 256
PAPER, INK = (255, 255, 255), (40, 40, 44)


def grid(rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str]) -> np.ndarray:
    """Lay images out in rows under column names.

    Args:
        rows: uint8 (H, W, 3) images, all of one size, as many in each row as there are columns. Small ones are
            enlarged by a whole factor to about 128 px, without smoothing; ones above 256 px are reduced to 256 px.
        columns: a name too long for its column is cut.

    Returns:
        uint8 (H, W, 3) on white.

    Raises:
        ValueError: no images, images of several sizes, or a row that does not fit the columns.
    """
    if not rows or not columns or any(len(row) != len(columns) for row in rows):
        lengths = sorted({len(row) for row in rows})
        raise ValueError(f"rows of {lengths} images for {len(columns)} columns: allowed is one image per column")
    sizes = sorted({(*image.shape, image.dtype.name) for row in rows for image in row})
    if len(sizes) != 1 or len(sizes[0]) != 4 or sizes[0][2:] != (3, "uint8"):
        raise ValueError(f"images {sizes}: allowed is one size, uint8 (H, W, 3)")
    width, height, filter = _shown_size(*sizes[0][:2])
    across, down = width + GAP_PX, height + GAP_PX
    sheet = Image.new("RGB", (len(columns) * across - GAP_PX, HEADER_PX + len(rows) * down - GAP_PX), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for place, column in enumerate(columns):
        middle = (place * across + width // 2, HEADER_PX // 2)
        draw.text(middle, _cut(column, font, width), INK, font, anchor="mm")
    for number, row in enumerate(rows):
        for place, image in enumerate(row):
            shown = Image.fromarray(image).resize((width, height), filter)
            sheet.paste(shown, (place * across, HEADER_PX + number * down))
    return np.array(sheet)


def _shown_size(height: int, width: int) -> tuple[int, int, Image.Resampling]:
    side = max(height, width)
    if side > LARGE_PX:
        scale = LARGE_PX / side
        return max(1, round(width * scale)), max(1, round(height * scale)), Image.Resampling.LANCZOS
    factor = max(1, round(SMALL_PX / side))
    return width * factor, height * factor, Image.Resampling.NEAREST


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(f"{text}…") > width_px:
        text = text[:-1]
    return f"{text.rstrip()}…"
