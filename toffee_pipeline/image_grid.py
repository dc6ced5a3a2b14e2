"""Rows of images under column names, as one picture: a training's samples, a README's contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALL_PX, LARGE_PX = 128, 256
PAPER, INK = (255, 255, 255), (29, 29, 31)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Look:
    """Distances and letters. header_px: from the margin to the first row; name_px: from there to a name's middle."""

    gap_px: int
    row_gap_px: int
    margin_px: int
    bottom_px: int
    header_px: int
    name_px: int
    name_ink: tuple[int, int, int]
    font_px: int


CLOSE = Look(2, 2, 0, 0, header_px=20, name_px=10, name_ink=(40, 40, 44), font_px=13)
"""Without captions."""
AIRY = Look(8, 16, 16, 24, header_px=23, name_px=9, name_ink=(110, 110, 118), font_px=14)
"""With captions."""


def image_grid(
    rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str], captions: Sequence[str] = (), num_blocks: int = 1
) -> np.ndarray:
    """Lay images out in rows under column names.

    Args:
        rows: uint8 (H, W, 3) images, all of one size, as many in each row as there are columns. Small ones are
            enlarged by a whole factor to about 128 px, without smoothing; ones above 256 px are reduced to 256 px.
        columns: a name too long for its column is cut.
        captions: one under each row, such as the prompt, or none; wrapped to two lines, then cut.
        num_blocks: rows side by side; the names repeat.

    Returns:
        uint8 (H, W, 3) on white.

    Raises:
        ValueError: no images, images of several sizes, or a row or captions that do not fit.
    """
    _check(rows, columns, captions, num_blocks)
    look = AIRY if captions else CLOSE
    font, line_px = ImageFont.load_default(look.font_px), round(look.font_px * 1.35)
    width, height, filter = _shown_size(*rows[0][0].shape[:2])
    across = width + look.gap_px
    row_width = len(columns) * across - look.gap_px
    block = row_width + 3 * look.gap_px
    wrapped = [_wrap(caption, font, row_width) for caption in captions]
    down = height + max(map(len, wrapped), default=0) * line_px + look.row_gap_px
    top, num_down = look.margin_px + look.header_px, -(-len(rows) // num_blocks)
    size = (
        2 * look.margin_px + num_blocks * block - 3 * look.gap_px,
        top + num_down * down - look.row_gap_px + look.bottom_px,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for number in range(min(num_blocks, len(rows))):
        for place, name in enumerate(columns):
            middle = look.margin_px + number * block + place * across + width // 2
            draw.text(
                (middle, look.margin_px + look.name_px), _cut(name, font, width), look.name_ink, font, anchor="mm"
            )
    for number, row in enumerate(rows):
        left, upper = look.margin_px + number % num_blocks * block, top + number // num_blocks * down
        for place, image in enumerate(row):
            sheet.paste(Image.fromarray(image).resize((width, height), filter), (left + place * across, upper))
        for line, text in enumerate(wrapped[number] if captions else ()):
            draw.text((left, upper + height + look.gap_px // 2 + line * line_px), text, INK, font)
    return np.array(sheet)


def _check(
    rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str], captions: Sequence[str], num_blocks: int
) -> None:
    if not rows or not columns or any(len(row) != len(columns) for row in rows):
        lengths = sorted({len(row) for row in rows})
        raise ValueError(f"rows of {lengths} images for {len(columns)} columns: allowed is one image per column")
    if captions and len(captions) != len(rows):
        raise ValueError(f"{len(captions)} captions for {len(rows)} rows: allowed is one per row, or none")
    if num_blocks < 1:
        raise ValueError(f"num_blocks {num_blocks}: allowed is 1 or more")
    sizes = sorted({(*image.shape, image.dtype.name) for row in rows for image in row})
    if len(sizes) != 1 or len(sizes[0]) != 4 or sizes[0][2:] != (3, "uint8"):
        raise ValueError(f"images {sizes}: allowed is one size, uint8 (H, W, 3)")


def _shown_size(height: int, width: int) -> tuple[int, int, Image.Resampling]:
    side = max(height, width)
    if side > LARGE_PX:
        scale = LARGE_PX / side
        return max(1, round(width * scale)), max(1, round(height * scale)), Image.Resampling.LANCZOS
    factor = max(1, round(SMALL_PX / side))
    return width * factor, height * factor, Image.Resampling.NEAREST


def _cut(text: str, font: Font, width_px: int) -> str:
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(f"{text}…") > width_px:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _wrap(text: str, font: Font, width_px: int) -> list[str]:
    """At most two lines that fit the width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width_px or not lines[-1]:
            lines[-1] = longer
        elif len(lines) == 1:
            lines.append(word)
        else:
            lines[-1] += " …"
            break
    return lines
