"""What a person asks of a network comes out as asked, or is refused in one line."""

from dataclasses import replace

import numpy as np
import pytest

from toffee_pipeline.customize.customizer import MAX_BATCH, Customizer
from toffee_pipeline.customize.request import AUTO, Request
from toffee_pipeline.errors import ConfigError, RequestError
from toffee_pipeline.nano.renderer import RendererSubject
from toffee_pipeline.rundir.trained import find_toffeenet
from toffee_pipeline.schema.subjects import Subject

pytestmark = pytest.mark.slow

PROMPT = "a red mug on a beach"


@pytest.fixture
def request_(photos):
    return Request(subjects=photos[:1], prompt=PROMPT)


@pytest.fixture
def draw(customizer, request_):
    """Draws the request with some changes."""
    return lambda **changes: customizer.draw(replace(request_, **changes)).images


def distance(first, second):
    return np.abs(first.astype(int) - second).max()


def test_editing_leaves_the_photo_as_it_is_outside_the_mask(draw, photos, mask):
    edited = draw(mask=mask, seeds=(1, 2))
    for image in edited:
        assert image.shape == photos[0].shape
        assert np.array_equal(image[~mask], photos[0][~mask])
        assert (image[mask] != photos[0][mask]).mean() > 0.5
    assert not np.array_equal(*edited)


def test_editing_a_photo_of_the_networks_own_size(draw, photos, mask):
    small, region = photos[0][8:72, 18:82], mask[8:72, 18:82]
    (edited,) = draw(subjects=(small,), mask=region)
    assert np.array_equal(edited[~region], small[~region])
    assert (edited[region] != small[region]).mean() > 0.5


def test_each_picture_has_its_own_noise(draw):
    seeds = tuple(range(MAX_BATCH))
    first, second = draw(seeds=seeds), draw(seeds=(99, *seeds[1:]))
    assert distance(first[0], second[0]) > 10
    assert all(np.array_equal(*both) for both in zip(first[1:], second[1:], strict=True))
    more = draw(seeds=(*seeds, 7))
    assert len(more) == MAX_BATCH + 1
    assert all(np.array_equal(*both) for both in zip(first, more, strict=False))


def test_the_subject_shows_by_its_strength(draw, photos):
    (own,), (other,) = draw(), draw(subjects=photos[1:])
    assert distance(own, other) > 1
    (own,), (other,) = draw(dino_scale=0.0), draw(subjects=photos[1:], dino_scale=0.0)
    assert np.array_equal(own, other)


def test_several_photos_of_a_subject_are_averaged(draw, photos):
    (both,), (turned,) = draw(subjects=photos), draw(subjects=photos[::-1])
    assert distance(both, turned) <= 1
    assert all(distance(both, draw(subjects=(photo,))[0]) > 1 for photo in photos)


def test_depth_keeps_structure_and_none_asks_for_a_new_view(draw):
    ramp = np.linspace(0, 1, 30 * 50, dtype=np.float32).reshape(30, 50)
    (new_view,) = draw()
    assert np.array_equal(new_view, draw(depth=np.zeros((30, 50), np.float32))[0])
    assert distance(new_view, draw(depth=ramp)[0]) > 1
    assert distance(new_view, draw(depth=AUTO)[0]) > 1


def test_guidance_of_the_subject_apart(draw):
    (together,), (equal,), (strong,) = draw(), draw(dino_guidance_scale=2.0), draw(dino_guidance_scale=8.0)
    assert distance(together, equal) <= 1
    assert distance(together, strong) > 1


def test_a_mask_is_found_by_name(customizer, request_):
    """In the small world, whose detector and segmenter the nano profile names."""
    (picture,) = RendererSubject(64).create([Subject("s0", "mug", "a photo of a mug", 3)])
    found = customizer.find_mask(picture, "mug")
    assert 0.02 < found.mean() < 0.8
    (edited,) = customizer.draw(replace(request_, subjects=(picture,), mask=AUTO, class_name="mug")).images
    assert np.array_equal(edited[~found], picture[~found])
    assert (edited[found] != picture[found]).mean() > 0.5


def test_what_is_not_found_is_said(toffeenet_run, request_):
    strict = Customizer(find_toffeenet(str(toffeenet_run), ["grounding.box_threshold=1"]))
    with pytest.raises(RequestError, match="finds no 'teapot' in the picture"):
        strict.draw(replace(request_, mask=AUTO, class_name="teapot"))
    unnamed = Customizer(find_toffeenet(str(toffeenet_run), ["models.detector=null"]))
    with pytest.raises(ConfigError, match="names no Grounded-SAM"):
        unnamed.draw(replace(request_, mask=AUTO))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subjects": ()}, "subject: at least one"),
        ({"prompt": " "}, "prompt: it is empty"),
        ({"prompt": "a red mug " * 12}, r"prompt: \d+ tokens; the text encoder takes 24"),
        ({"mask": np.ones((64, 64), bool)}, "mask: 64 x 64 px; the picture that it is of has 100 x 80 px"),
        ({"mask": np.zeros((80, 100), bool)}, "mask: it marks nothing"),
        ({"mask": np.ones((80, 100), bool)}, "mask: it reaches beyond the picture's centred square of 80 px"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, changes, message):
    with pytest.raises(RequestError, match=message):
        draw(**changes)
