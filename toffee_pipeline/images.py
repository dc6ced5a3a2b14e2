"""Bounded decoding and encoding of images with Pillow and numpy.

Colour profiles are not applied: values are read as sRGB, and CMYK is converted without a press profile.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features

from toffee_pipeline.errors import ImageError

_SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
} | ({"AVIF": (".avif",)} if features.check("avif") else {})  # a Pillow of one's own may be built without it
FORMATS = tuple(_SUFFIXES_OF)
SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES_OF.values() for suffix in suffixes)
"""Of files that `read_file` can read, in lower case."""
MAX_PIXELS = 64_000_000
MAX_BYTES = 64 * 1024 * 1024
MAX_SCANS, MAX_SEGMENTS = 64, 10_000
"""Of a JPEG. A progressive one is decoded over the whole image once per scan; encoders write some ten."""
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Between segments and after the data of a scan, in which a byte FF is followed by 00 or the number of a restart."""
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN, TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01
EXIF_ORIENTATION, TIFF_PHOTOMETRIC = 0x0112, 0x0106
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, name: str = "image", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Decode an image file of one of `FORMATS` to upright RGB.

    EXIF orientation is applied; gray, 16-bit gray, palette and CMYK become RGB; transparency is laid over white; of an
    animation the first frame is taken. Takes up to about 12 bytes of memory per pixel. Thread safe.

    Args:
        name: what error messages call the image.
        max_pixels: limit of width x height, checked before the pixels are decoded. Pillow has a limit of its own, about
            179 million.
        max_bytes: limit of the file size.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ImageError: empty, truncated, too large, of too many scans, not an image, or gray of 32 bits, whose range
            nothing tells.
    """
    image: Image.Image = _load(data, name, max_pixels, max_bytes, FORMATS)
    if image.mode in ("I", "F"):
        raise ImageError(f"{name}: 32-bit gray has no known range; allowed are 8 and 16 bits per channel")
    try:
        turn = UPRIGHT.get(image.getexif().get(EXIF_ORIENTATION, 1))
        if turn is not None:
            image = image.transpose(turn)
        if image.mode.startswith("I;16"):
            return _gray16_to_rgb(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return np.array(image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # broken metadata or palettes: Pillow has no common error type for them
        raise ImageError(f"{name}: cannot be converted to RGB: {_line(error)}") from error


def read_file(path: Path, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Decode the image file at `path`, as `decode`; the size is checked before it is read. Raises ImageError."""
    return decode(_read_bounded(path, max_bytes), str(path), max_pixels, max_bytes)


def read_encoded(path: Path) -> bytes:
    """The bytes of the image file at `path`, which `read_file` would decode. Raises ImageError."""
    data = _read_bounded(path, MAX_BYTES)
    decode(data, str(path))
    return data


def _read_bounded(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise ImageError(f"{path}: no such file")
        size_bytes = path.stat().st_size
        _check_size(size_bytes, str(path), max_bytes)
        with path.open("rb") as file:
            return file.read(size_bytes)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def fit_square(image: np.ndarray, size_px: int) -> np.ndarray:
    """Cut the central square out of uint8 RGB (H, W, 3) and resize it to uint8 (size_px, size_px, 3).

    The filter is Lanczos with a support that grows with the reduction, so shrinking does not alias. An odd remainder
    drops one more pixel at the bottom or right. Raises ImageError for another shape or size_px < 1.
    """
    _check_array(image, np.uint8, 3)
    if size_px < 1:
        raise ImageError(f"size_px is {size_px}; allowed is 1 or more")
    return np.array(Image.fromarray(central_square(image)).resize((size_px, size_px), Image.Resampling.LANCZOS))


def central_square(array: np.ndarray) -> np.ndarray:
    """The largest centred square of (H, W, ...), a view; an odd remainder drops one more row or column at the end."""
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def black_out(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3), black inside the bool (H, W) mask: ToffeeNet's masked image, in training as at inference."""
    return np.where(mask[..., None], np.uint8(0), image)


def encode_png(rgb: np.ndarray, level: int = 1) -> bytes:
    """Encode uint8 RGB (H, W, 3) as PNG, lossless; `level` of zlib from 0 (fast) to 9 (small). Raises ImageError."""
    _check_array(rgb, np.uint8, 3)
    if not 0 <= level <= 9:
        raise ImageError(f"PNG level is {level}; allowed is 0 to 9")
    return _save(Image.fromarray(rgb), "PNG", compress_level=level)


def encode(rgb: np.ndarray, format: Literal["png", "webp", "jpeg"], quality: int = 95) -> bytes:
    """Encode uint8 RGB (H, W, 3); the same input gives the same bytes under the same library versions.

    `quality` is 1 to 100, lossy for webp and jpeg (with full colour resolution in jpeg), without effect for png. Raises
    ImageError for another format, quality or shape, and above 16383 px (webp) or 65535 px (jpeg) per side.
    """
    _check_array(rgb, np.uint8, 3)
    if not 1 <= quality <= 100:
        raise ImageError(f"quality is {quality}; allowed is 1 to 100")
    limit_px = {"webp": 16_383, "jpeg": 65_535}.get(format)
    if limit_px is not None and max(rgb.shape) > limit_px:
        raise ImageError(f"image of {rgb.shape[1]} x {rgb.shape[0]} px: {format} allows {limit_px} px per side")
    if format == "png":
        return encode_png(rgb)
    if format == "webp":
        return _save(Image.fromarray(rgb), "WEBP", quality=quality, method=4)
    if format == "jpeg":
        return _save(Image.fromarray(rgb), "JPEG", quality=quality, subsampling=0)
    raise ImageError(f"image format {format!r}: allowed are png, webp and jpeg")


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode a bool mask (H, W) as 8-bit gray PNG of 0 and 255. Raises ImageError for another dtype or shape."""
    _check_array(mask, np.bool_, None)
    return _save(Image.fromarray(mask.astype(np.uint8) * 255), "PNG", compress_level=1)


def decode_mask(
    data: bytes, name: str = "mask", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> np.ndarray:
    """Decode a 1-bit or 8-bit gray PNG to bool (H, W), True from 128 on. Raises ImageError, as `decode`."""
    image = _load(data, name, max_pixels, max_bytes, ("PNG",))
    if image.mode not in ("1", "L"):
        raise ImageError(f"{name}: mode {image.mode}; a mask is a 1-bit or 8-bit gray PNG")
    return np.asarray(image.convert("L")) >= 128


def encode_depth(inverse_depth: np.ndarray) -> bytes:
    """Encode float32 inverse depth (H, W) in 0..1 as 16-bit gray PNG. Raises ImageError, also for NaN."""
    _check_array(inverse_depth, np.float32, None)
    if not ((inverse_depth >= 0) & (inverse_depth <= 1)).all():
        raise ImageError("inverse depth holds NaN or values outside 0..1")
    levels = np.rint(inverse_depth.astype(np.float64) * 65_535).astype(np.uint16)
    return _save(Image.fromarray(levels), "PNG", compress_level=1)


def decode_depth(
    data: bytes, name: str = "depth", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> np.ndarray:
    """Decode a 16-bit gray PNG to float32 (H, W) in 0..1, within 1/65535 of what was encoded. Raises ImageError."""
    image = _load(data, name, max_pixels, max_bytes, ("PNG",))
    if not image.mode.startswith("I;16"):
        raise ImageError(f"{name}: mode {image.mode}; depth is a 16-bit gray PNG")
    return (np.asarray(image) / 65_535).astype(np.float32)


def _load(data: bytes, name: str, max_pixels: int, max_bytes: int, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    _check_size(len(data), name, max_bytes)
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data, name)
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(f"{name}: {width} x {height} px are too many pixels; allowed are {max_pixels}")
        image.load()
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: too many pixels; allowed are {max_pixels}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not an image, or a broken header; allowed are {', '.join(formats)}") from error
    except Exception as error:  # for broken data Pillow raises OSError, SyntaxError, ValueError, struct.error and more
        raise ImageError(f"{name}: truncated or broken: {_line(error)}") from error
    return image


def _check_jpeg(data: bytes, name: str) -> None:
    """Bounds what decoding costs; finds the markers as the decoder does, and reads no pixels."""
    position = num_segments = num_scans = 0
    while (marker := JPEG_MARKER.search(data, position)) and data[marker.end() - 1] != END_OF_IMAGE:
        kind, position = data[marker.end() - 1], marker.end()
        num_segments, num_scans = num_segments + 1, num_scans + (kind == START_OF_SCAN)
        if num_scans > MAX_SCANS or num_segments > MAX_SEGMENTS:
            raise ImageError(f"{name}: a JPEG has at most {MAX_SCANS} scans and {MAX_SEGMENTS} segments, this one more")
        if kind not in (START_OF_IMAGE, TEMPORARY):
            position += int.from_bytes(data[position : position + 2], "big")


def _gray16_to_rgb(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.uint32)
    if getattr(image, "tag_v2", {}).get(TIFF_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts only 8 bits
        values = 65_535 - values
    gray = ((values + 128) // 257).astype(np.uint8)
    if (transparent := image.info.get("transparency")) is not None:
        gray[values == transparent] = 255
    return np.repeat(gray[..., None], 3, axis=2)


def _check_size(num_bytes: int, name: str, max_bytes: int) -> None:
    if num_bytes == 0:
        raise ImageError(f"{name}: empty, 0 bytes")
    if num_bytes > max_bytes:
        raise ImageError(f"{name}: {num_bytes} bytes are too many; allowed are {max_bytes}")


def _check_array(array: np.ndarray, dtype: type[np.generic], num_channels: int | None) -> None:
    wanted = "(H, W)" if num_channels is None else f"(H, W, {num_channels})"
    tail = () if num_channels is None else (num_channels,)
    if array.dtype != dtype or array.ndim != 2 + len(tail) or array.shape[2:] != tail or 0 in array.shape:
        raise ImageError(f"array of {array.dtype} {array.shape}: allowed is {np.dtype(dtype).name} {wanted}, not empty")


def _save(image: Image.Image, format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
