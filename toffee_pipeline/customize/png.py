"""PNG files that carry the settings by which they were made, as text chunks that any viewer shows."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from toffee_pipeline.errors import ImageError

SOFTWARE, DESCRIPTION, COMMENT = "Software", "Description", "Comment"
"""Keywords of the PNG specification: the code's version, the prompt, all settings as JSON."""


def encode_with_settings(image: np.ndarray, settings: dict[str, Any]) -> bytes:
    """uint8 (H, W, 3) as PNG; `settings` with `code` and `prompt`, of what JSON can hold."""
    text = PngInfo()
    text.add_text(SOFTWARE, settings["code"])
    text.add_itxt(DESCRIPTION, settings["prompt"])
    text.add_itxt(COMMENT, json.dumps(settings, ensure_ascii=False))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def read_settings(data: bytes) -> dict[str, Any]:
    """What `encode_with_settings` was given. Raises ImageError for a PNG without it."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.load()
        comment = image.text.get(COMMENT)  # type: ignore[attr-defined]
    if comment is None:
        raise ImageError("the PNG holds no settings")
    return json.loads(comment)
