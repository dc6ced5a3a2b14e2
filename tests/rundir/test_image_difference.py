import numpy as np
import pytest

from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.images import encode_depth, encode_mask, encode_png
from toffee_pipeline.rundir.image_difference import compare_images, levels_of, side_by_side

PIXELS = 64 * 64
BLACK = np.zeros((64, 64, 3), np.uint8)


def test_levels_of_every_kind_of_picture():
    pixel = BLACK.copy()
    pixel[0, 0] = 8, 4, 0
    mask, depth = pixel[..., 0] > 0, np.full((64, 64), 0.5, np.float32)
    stored = {
        "input_image": encode_png(BLACK),
        "target_image": encode_png(BLACK),
        "mask": encode_mask(~mask),
        "depth": encode_depth(depth),
    }
    remade = {
        "input_image": encode_png(BLACK),
        "target_image": encode_png(pixel),
        "mask": encode_mask(np.ones_like(mask)),
        "depth": encode_depth(depth + np.float32(1 / 255)),
    }
    found = {
        each.column: each
        for each in compare_images(levels_of(stored, 64), remade | {"draft_image": encode_png(BLACK)}, PIXELS)
    }
    assert list(found) == list(stored)
    figures = {name: (each.changed_fraction, each.largest, each.mean) for name, each in found.items()}
    assert figures["input_image"] == (0, 0, 0)
    assert figures["target_image"] == pytest.approx((1 / 64**2, 8, 4 / 64**2))
    assert figures["mask"] == pytest.approx((1 / 64**2, 255, 255 / 64**2))
    assert figures["depth"] == pytest.approx((1, 1, 1), abs=0.01)


def test_a_picture_that_was_not_made_again_differs_wholly():
    (found,) = compare_images(levels_of({"input_image": encode_png(BLACK)}, 64), {}, PIXELS, "why")
    assert (found.remade, found.missing, found.mean) == (None, "why", 255)


def test_a_stored_picture_that_cannot_be_compared():
    with pytest.raises(DamagedFile, match="the stored input_image: not an image"):
        levels_of({"input_image": b"no image"}, 64)
    with pytest.raises(DamagedFile, match="the stored input_image has 64 x 64 px, its run makes 4096 x 4096"):
        levels_of({"input_image": encode_png(BLACK)}, 4096)


def test_side_by_side_makes_the_difference_visible():
    light = np.full_like(BLACK, 5)
    same, other = {"input_image": encode_png(BLACK)}, {"input_image": encode_png(light)}
    missing = {"draft_image": encode_png(BLACK)}  # what was not made hides no other difference
    seen = side_by_side(compare_images(levels_of(same | missing, 64), other, PIXELS))
    bottom = seen[-60 - 128 : -60, 16 : 16 + 128]  # above its caption
    assert (bottom == 255).any(axis=2).mean() > 0.9
    assert side_by_side(compare_images(levels_of(same | missing, 64), same, PIXELS)).shape == seen.shape


def test_a_stored_picture_is_no_larger_than_its_run_makes_them():
    with pytest.raises(DamagedFile, match="the stored input_image: 64 x 64 px are too many pixels; allowed are 1024"):
        levels_of({"input_image": encode_png(BLACK)}, 32)
