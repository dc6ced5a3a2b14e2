"""What pixels alone tell about a picture and about a pair."""

import numpy as np
import pytest

from toffee_pipeline.images import decode, encode
from toffee_pipeline.nano import world
from toffee_pipeline.pixels import HASH_BITS, change_inside, changed_outside, is_flat, perceptual_hash

RNG = np.random.default_rng(0)


def render(seed=0, turn=0.0, place="on a white table"):
    """The same teapot for the same seed, from another side, somewhere else."""
    return world.render(world.make_toy("teapot", seed), world.View(0.4 + turn, 0.2), place, "photo", 64, seed).rgb


def noisy(rgb, levels):
    return np.clip(rgb + RNG.normal(0, levels, rgb.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 90)])
def test_one_colour_all_over_is_flat(colour):
    image = np.full((64, 64, 3), colour, np.uint8)
    assert is_flat(image)
    image[0, ::2] = np.clip(image[0, ::2].astype(int) + 1, 0, 255)  # the last bit of some pixels shows nothing either
    assert is_flat(image)


def test_whatever_shows_something_is_not_flat():
    assert not is_flat(render())
    small = np.zeros((1024, 1024, 3), np.uint8)
    small[500:520, 500:520, 0] = 255  # a red dot on black
    assert not is_flat(small)


def test_the_hash_knows_a_copy_and_tells_other_pictures_apart():
    image = perceptual_hash(render())
    assert len(image) == HASH_BITS
    copies = (render(), decode(encode(render(), "jpeg", 50)), noisy(render(), 4), np.minimum(render(), 245) + 10)
    others = (render(turn=1.5, place="on a beach"), render(seed=1), np.flipud(render()))
    assert max(image - perceptual_hash(copy) for copy in copies) < 6
    assert min(image - perceptual_hash(other) for other in others) >= 10


def test_a_small_change_inside_the_mask_counts_and_noise_and_what_lies_outside_do_not():
    before, mask = render(), np.zeros((64, 64), bool)
    mask[:, :32] = True
    after = before.copy()
    after[5:13, 5:10] = 255 - after[5:13, 5:10]  # 2 % of the mask
    assert change_inside(before, after, mask) > 30
    assert change_inside(before, after, ~mask) == 0
    assert change_inside(before, before, mask) == 0
    for same in (decode(encode(before, "jpeg", 75)), noisy(before, 4), np.minimum(before, 245) + 10):
        assert 0 < change_inside(before, same, mask) < 30
    assert change_inside(before, after, np.zeros((64, 64), bool)) == 0


def test_one_pixel_of_one_level_outside_the_mask_is_seen():
    before = render()
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:20] = True
    after = before.copy()
    after[mask] = 255 - after[mask]
    assert changed_outside(before, after, mask) == 0
    after[40, 40, 2] ^= 1
    assert changed_outside(before, after, mask) == 1
