import numpy as np
import pytest
import torch
from PIL import Image

from toffee_pipeline.config.stages import EditConfig
from toffee_pipeline.models.blended import composite, dilate, editing_mask, latent_mask


def square(size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[20:40, 10:30] = True
    return mask


def blobs(height: int, width: int) -> np.ndarray:
    """Of all sizes, some of them cut by the border."""
    coarse = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)) > 0.6


def near(mask: np.ndarray, radius: int) -> np.ndarray:
    """What has a pixel of the mask in the square around it."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(mask, radius), (2 * radius + 1, 2 * radius + 1))
    return windows.any((-2, -1))


def test_dilation_grows_every_side_by_its_share() -> None:
    grown = dilate(square(), 2 / 64)
    assert grown.sum() == 24 * 24 and grown[18:42, 8:32].all()
    assert dilate(square(), 0.001).sum() == 22 * 22
    assert np.array_equal(dilate(square(), 0), square())


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 7, 12, 100])
def test_dilation_adds_what_is_near_the_mask_up_to_the_border(radius: int) -> None:
    mask = blobs(48, 80)
    assert np.array_equal(dilate(mask, radius / 80), near(mask, radius))


def test_composite_is_exact_outside_and_the_target_deep_inside(images: list[np.ndarray]) -> None:
    mask = square()
    result = composite(images[0], images[1], mask)
    assert result.dtype == np.uint8
    assert np.array_equal(result[~mask], images[1][~mask])
    assert np.array_equal(result[mask], images[0][mask])  # at 64 px the feather has no width


def test_composite_feathers_inside_a_large_mask_but_not_at_the_border_of_the_image() -> None:
    mask = np.zeros((512, 512), bool)
    mask[:, :100] = True
    result = composite(np.full((512, 512, 3), 200, np.uint8), np.zeros((512, 512, 3), np.uint8), mask)
    row = result[256, :, 0]
    assert (row[100:] == 0).all() and (row[:98] == 200).all()
    assert 0 < row[99] < 200
    assert (result[0, :98] == 200).all()


def test_a_feather_rises_by_distance_from_the_outside() -> None:
    mask, (target, original) = blobs(40, 1024), np.random.default_rng(1).integers(0, 256, (2, 40, 1024, 3), np.uint8)
    weight = sum(np.float32(~near(~mask, radius)) for radius in range(4)) / 4  # 1024 / 256 px
    blend = original + weight[..., None] * (target.astype(np.float32) - original)
    assert set(np.unique(weight)) == {0, 0.25, 0.5, 0.75, 1}
    assert np.array_equal(composite(target, original, mask), blend.round())


def test_latent_mask_covers_every_pixel_of_the_mask(device: torch.device) -> None:
    thin = np.zeros((64, 64), bool)
    thin[33, 5:60] = True
    mask = latent_mask([thin, square()], 4, device)
    assert mask.shape == (2, 1, 16, 16) and set(mask.unique().tolist()) == {0.0, 1.0}
    for pixels, latents in zip((thin, square()), mask[:, 0], strict=True):
        assert not (pixels & ~np.kron(latents.numpy() > 0, np.ones((4, 4), bool))).any()


def test_editing_mask_of_each_region() -> None:
    config = EditConfig()
    assert np.array_equal(editing_mask(square(), "background", config), ~square())
    assert editing_mask(square(), "everywhere", config).all()
    assert np.array_equal(editing_mask(square(), "subject", config), dilate(square(), config.dilation_fraction))
    room = editing_mask(square(), "around", config)
    assert not (room & square()).any() and room.sum() > 0.5 * square().sum()
    assert room[19, 15] and room[30, 31]  # what is added may touch the subject
