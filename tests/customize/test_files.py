"""Files that a request reads, and those that its result becomes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.customize.conftest import photo
from toffee_pipeline.customize.inputs import read_depth, read_mask, read_picture
from toffee_pipeline.customize.png import encode_with_settings, read_settings
from toffee_pipeline.customize.request import Request
from toffee_pipeline.customize.results import contact_sheet, write_results
from toffee_pipeline.customize.square import mask_of_picture, seen_mask
from toffee_pipeline.errors import ImageError, RequestError, SampleError
from toffee_pipeline.images import decode, encode_depth, encode_mask, encode_png

SETTINGS = {"code": "toffee-pipeline 1", "prompt": "“Tür” на пляже 🏖\nline 2", "seed": 7, "sampling": {"steps": 2}}


def test_settings_travel_in_the_picture(photos, tmp_path):
    data = encode_with_settings(photos[0], SETTINGS)
    assert read_settings(data) == SETTINGS
    assert np.array_equal(decode(data), photos[0])
    (tmp_path / "a.png").write_bytes(data)
    shown = Image.open(tmp_path / "a.png").text  # as any viewer reads them
    assert shown["Description"] == SETTINGS["prompt"]
    assert shown["Software"] == "toffee-pipeline 1"
    assert json.loads(shown["Comment"])["seed"] == 7
    with pytest.raises(ImageError, match="holds no settings"):
        read_settings(encode_png(photos[0]))


def test_masks_and_depths_of_any_image(tmp_path, mask):
    for name, image in {
        "gray.png": Image.fromarray(mask.astype(np.uint8) * 255),
        "colour.png": Image.fromarray(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, 2)),
        "bit.png": Image.fromarray(mask.astype(np.uint8) * 255).convert("1"),
    }.items():
        image.save(tmp_path / name)
        assert np.array_equal(read_mask(tmp_path / name), mask)
    (tmp_path / "own.png").write_bytes(encode_mask(mask))
    assert np.array_equal(read_mask(tmp_path / "own.png"), mask)
    ramp = np.linspace(0, 1, 80 * 100, dtype=np.float32).reshape(80, 100)
    (tmp_path / "depth.png").write_bytes(encode_depth(ramp))
    assert np.abs(read_depth(tmp_path / "depth.png") - ramp).max() <= 0.5 / 65_535 + 1e-7
    Image.fromarray(np.round(ramp * 255).astype(np.uint8)).save(tmp_path / "depth8.png")
    read = read_depth(tmp_path / "depth8.png")
    assert read.dtype == np.float32
    assert np.abs(read - ramp).max() <= 0.5 / 255 + 1e-6


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    for read in (read_picture, read_mask, read_depth):
        with pytest.raises(RequestError, match="text.jpg: not an image"):
            read(tmp_path / "text.jpg")
        with pytest.raises(RequestError, match="gone.png: no such file"):
            read(tmp_path / "gone.png")


def test_a_thin_line_of_a_large_mask_is_not_lost():
    mask = np.zeros((3000, 4000), bool)
    mask[700, 1000:3000] = True
    assert seen_mask(mask, 64).any(0).sum() > 30


def test_a_mask_of_the_square_lies_in_the_middle_of_its_picture():
    square = np.zeros((64, 64), bool)
    square[:32] = True
    found = mask_of_picture(square, (80, 100, 3))
    assert found[:40, 10:90].all()
    assert found.sum() == 40 * 80


def test_results_are_numbered_on_and_nothing_is_lost(photos, tmp_path):
    request = Request((photos[0],), "a mug", seeds=(4, 5, 6))
    images = [photo(1, 64, 64), SampleError("all black"), photo(2, 64, 64)]
    first = write_results(tmp_path / "out", request, images, SETTINGS)
    assert [path.name for path in first.pictures] == ["0000.png", "0001.png"]
    assert [read_settings(path.read_bytes())["seed"] for path in first.pictures] == [4, 6]
    assert first.sheet == tmp_path / "out/0000-sheet.png" and first.sheet.exists()
    assert first.failed == "1 of 3 images failed: all black"
    again = write_results(tmp_path / "out", replace(request, seeds=(4,)), images[:1], SETTINGS)
    assert ([path.name for path in again.pictures], again.sheet, again.failed) == (["0002.png"], None, "")


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_sheet_shows_every_picture(count):
    images = [photo(seed, 64, 64) for seed in range(10, 10 + count)]
    sheet = contact_sheet(Request((photo(0),), "a mug"), images)
    for image in images:  # enlarged twice, without smoothing
        corner = image[0, 0]
        assert (sheet == corner).all(2).any()
        places = zip(*np.nonzero((sheet == corner).all(2)), strict=True)
        assert any(np.array_equal(sheet[top : top + 128 : 2, left : left + 128 : 2], image) for top, left in places)
