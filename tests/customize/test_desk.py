"""The page's mask: the alpha of the editor's layer, with the traps of that."""

import numpy as np
import pytest

from toffee_pipeline.customize.desk import CANVAS_PX, Desk, drawn_mask
from toffee_pipeline.errors import RequestError
from toffee_pipeline.images import encode_png

SHAPE = (80, 100, 3)


def layer():
    """A brush's stroke over the left half of the upper half."""
    drawn = np.zeros((CANVAS_PX, CANVAS_PX, 4), np.uint8)
    drawn[: CANVAS_PX // 2, : CANVAS_PX // 2] = 255
    return drawn


def test_a_drawing_is_laid_over_the_photos_centred_square():
    mask = drawn_mask({"background": None, "layers": [layer()], "composite": None}, SHAPE)
    assert mask.shape == SHAPE[:2]
    assert mask[:40, 10:50].all()
    assert mask.sum() == 40 * 40


@pytest.mark.parametrize(
    "drawing",
    [None, {}, {"layers": None}, {"layers": []}, {"layers": [np.zeros_like(layer())]}],
    ids=["none", "nothing", "no layers", "empty list", "transparent"],
)
def test_where_nothing_is_drawn_it_is_said(drawing):
    with pytest.raises(RequestError, match="nothing is drawn"):
        drawn_mask(drawing, SHAPE)


def test_the_canvas_is_the_first_photo_at_a_fixed_size(toffeenet_run, photos, tmp_path):
    from toffee_pipeline.rundir.trained import find_toffeenet

    desk = Desk(find_toffeenet(str(toffeenet_run)), tmp_path)
    (tmp_path / "photo.png").write_bytes(encode_png(photos[0]))
    assert desk.canvas([str(tmp_path / "photo.png")]).shape == (CANVAS_PX, CANVAS_PX, 3)
    assert desk.canvas(None) is None
    with pytest.raises(RequestError, match="upload a photo"):
        desk.find(None, "mug", "")
