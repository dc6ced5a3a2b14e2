"""The grid: every picture in its place, at a size one can look at."""

import numpy as np
import pytest

from toffee_pipeline.image_grid import AIRY, CLOSE, image_grid

GAP_PX, HEADER_PX = CLOSE.gap_px, CLOSE.header_px


def flat(value: int, size_px: int = 64) -> np.ndarray:
    return np.full((size_px, size_px, 3), value, np.uint8)


@pytest.mark.parametrize(("size_px", "shown_px"), [(64, 128), (32, 128), (256, 256), (1024, 256)])
def test_each_image_lies_in_its_row_and_column(size_px, shown_px):
    values = [[10, 20, 30], [40, 50, 60]]
    picture = image_grid([[flat(value, size_px) for value in row] for row in values], ["a", "b", "c"])
    step = shown_px + GAP_PX
    assert picture.dtype == np.uint8 and picture.shape == (
        HEADER_PX + 2 * step - GAP_PX,
        3 * step - GAP_PX,
        3,
    )
    for number, row in enumerate(values):
        for place, value in enumerate(row):
            top, left = HEADER_PX + number * step, place * step
            assert (picture[top : top + shown_px, left : left + shown_px] == value).all()
            assert (picture[top:, left + shown_px : left + step] == 255).all()


def test_small_images_are_not_smoothed():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    picture = image_grid([[image]], ["a"])
    assert (picture[HEADER_PX::2, ::2] == image).all() and (picture[HEADER_PX + 1 :: 2, 1::2] == image).all()


def test_a_wide_image_keeps_its_shape():
    assert image_grid([[np.zeros((512, 1024, 3), np.uint8)]], ["a"]).shape == (HEADER_PX + 128, 256, 3)


def test_names_are_drawn_over_their_own_column_only():
    header = image_grid([[flat(0), flat(0)]], ["a name that is much too long for its column", ""])[:HEADER_PX]
    assert (header[:, :128] < 128).any() and (header[:, 128:] == 255).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"rows of \[\] images for 2 columns"),
        ([[flat(0), flat(0)], [flat(0)]], r"rows of \[1, 2\] images for 2 columns"),
        ([[flat(0), flat(0, 32)]], "allowed is one size"),
        ([[flat(0).astype(np.float32)] * 2], "allowed is one size, uint8"),
        ([[flat(0)[..., 0]] * 2], "allowed is one size, uint8"),
    ],
)
def test_errors(rows, message):
    with pytest.raises(ValueError, match=message):
        image_grid(rows, ["a", "b"])


def test_captions_and_blocks():
    colors = ((255, 0, 0), (0, 0, 255))
    red, blue = (np.full((8, 8, 3), color, np.uint8) for color in colors)
    sheet = image_grid([[red, blue], [blue, red]], ["one", "two"], ["a red mug", ""])
    for color in colors:
        assert (sheet == color).all(-1).sum() == 2 * 128 * 128
    assert (sheet[: AIRY.margin_px] == 255).all() and (sheet[:, : AIRY.margin_px] == 255).all()
    first, second = (np.flatnonzero((sheet[:, AIRY.margin_px] == color).all(-1)) for color in colors)
    between = sheet[first[-1] + 1 : second[0]]
    assert (between < 128).any()  # the caption
    wide = image_grid([[red]] * 3, ["one"], ["x"] * 3, num_blocks=2)
    tall = image_grid([[red]] * 3, ["one"], ["x"] * 3)
    assert wide.shape[1] > tall.shape[1] and wide.shape[0] < tall.shape[0]


def test_long_captions_are_wrapped_to_two_lines_and_cut():
    short, long = (image_grid([[flat(0)]], ["a"], [text]) for text in ("word", "many words " * 20))
    assert long.shape[0] - short.shape[0] == round(AIRY.font_px * 1.35)


def test_captions_that_do_not_fit_the_rows():
    with pytest.raises(ValueError, match="1 captions for 2 rows: allowed is one per row, or none"):
        image_grid([[flat(0)]] * 2, ["a"], ["x"])
