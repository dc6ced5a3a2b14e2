"""A contact sheet as one picture: rows of images under column headers, for a README."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, SOFT, PAPER = (29, 29, 31), (110, 110, 118), (255, 255, 255)
GAP_PX = 8


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    headers: Sequence[str],
    captions: Sequence[str],
    scale: int = 1,
    num_columns: int = 1,
    font_px: int = 14,
) -> Image.Image:
    """Draw rows of images on white paper, with `headers` over the columns and a caption under each row.

    Args:
        rows: uint8 (H, W, 3) images, all of one size, as many in each row as there are headers.
        captions: one for each row, such as the prompt; wrapped to two lines, then cut.
        scale: whole factor by which pixels are enlarged, without smoothing.
        num_columns: rows side by side; the headers repeat.

    Raises:
        ValueError: no rows, images of several sizes, or lengths that do not fit.
    """
    if not rows or len(captions) != len(rows) or any(len(row) != len(headers) for row in rows):
        raise ValueError(
            f"{len(rows)} rows, {len(captions)} captions: allowed is one caption per row, one image per header"
        )
    sizes = {image.shape for row in rows for image in row}
    if len(sizes) != 1 or scale < 1 or num_columns < 1:
        raise ValueError(
            f"images {sorted(sizes)}, scale {scale}, {num_columns} columns: allowed is one size, and 1 or more"
        )
    height, width = (side * scale for side in next(iter(sizes))[:2])
    font = ImageFont.load_default(font_px)
    line_px = round(font_px * 1.35)
    row_width = len(headers) * (width + GAP_PX) - GAP_PX
    wrapped = [_wrap(caption, font, row_width) for caption in captions]
    num_lines = max(len(lines) for lines in wrapped)
    row_height = height + num_lines * line_px + 2 * GAP_PX
    margin, num_down = 2 * GAP_PX, -(-len(rows) // num_columns)
    top = margin + line_px + GAP_PX // 2
    stride = row_width + 3 * GAP_PX
    sheet = Image.new(
        "RGB", (2 * margin + num_columns * stride - 3 * GAP_PX, top + num_down * row_height + GAP_PX), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    for column in range(min(num_columns, len(rows))):
        for place, header in enumerate(headers):
            middle = margin + column * stride + place * (width + GAP_PX) + width // 2
            draw.text((middle, margin), header, SOFT, font, anchor="ma")
    for number, (row, lines) in enumerate(zip(rows, wrapped, strict=True)):
        left, upper = margin + number % num_columns * stride, top + number // num_columns * row_height
        for place, image in enumerate(row):
            enlarged = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + place * (width + GAP_PX), upper))
        for line, text in enumerate(lines):
            draw.text((left, upper + height + GAP_PX // 2 + line * line_px), text, INK, font)
    return sheet


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> list[str]:
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
