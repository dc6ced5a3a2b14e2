"""Marked images: other people's readers find the mark, and no pixel changed."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from toffee_pipeline.errors import ImageError
from toffee_pipeline.export.mark import mark
from toffee_pipeline.images import decode_depth, encode, encode_depth, encode_mask

RGB = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


IMAGES = {
    "png": encode(RGB, "png"),
    "jpeg": encode(RGB, "jpeg"),
    "webp": encode(RGB, "webp"),
    "lossless webp": saved(Image.fromarray(RGB), "WEBP", lossless=True),
    "webp with alpha": saved(Image.fromarray(np.dstack([RGB, RGB[..., 0]])), "WEBP", lossless=True),
    "webp with a profile": saved(Image.fromarray(RGB), "WEBP", icc_profile=b"profile"),
    "mask": encode_mask(RGB[..., 0] > 99),
    "depth of 16 bits": encode_depth((RGB[..., 0] / 255).astype(np.float32)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_mark_is_read_and_the_pixels_stay(name):
    marked = mark(IMAGES[name], "trainedAlgorithmicMedia")
    before, after = Image.open(io.BytesIO(IMAGES[name])), Image.open(io.BytesIO(marked))
    after.load()  # checks every chunk
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    assert np.array_equal(np.asarray(after), np.asarray(before))
    xmp = after.info["xmp"]
    assert TERM in (xmp if isinstance(xmp, str) else xmp.decode())


def test_an_xml_parser_finds_the_property():
    xmp = Image.open(io.BytesIO(mark(IMAGES["jpeg"], "trainedAlgorithmicMedia"))).info["xmp"]
    (description,) = ElementTree.fromstring(xmp).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == TERM


def test_depth_reads_as_before():
    depth = IMAGES["depth of 16 bits"]
    assert np.array_equal(decode_depth(mark(depth, "trainedAlgorithmicMedia")), decode_depth(depth))


def test_what_is_no_such_image_is_refused():
    with pytest.raises(ImageError, match="PNG, JPEG and WebP"):
        mark(b"GIF89a", "trainedAlgorithmicMedia")
