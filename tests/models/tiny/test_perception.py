"""The trained nano depth network and segmenter see what the renderer knows, on photos that no training saw."""

import numpy as np
import pytest
import torch

from toffee_pipeline.config.base import GroundingConfig, ModelSpec, SegmenterSpec
from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.grounded_sam import GroundedSam, load_sam
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.nano.world import Rendering
from toffee_pipeline.nano.world_samples import draw_photo
from toffee_pipeline.recipe.segmenter import boxes_of, jitter

FIRST_UNSEEN = 900_000
NUM_PHOTOS = 20
NANO, UNTRAINED = ModelSpec(weights="nano"), ModelSpec(weights="untrained")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> list[Rendering]:
    return [draw_photo(FIRST_UNSEEN + index).rendering for index in range(NUM_PHOTOS)]


@pytest.fixture(scope="module")
def grounded_sam() -> GroundedSam:
    return GroundedSam(UNTRAINED, SegmenterSpec(weights="nano"), GroundingConfig(), CPU)


def segment(
    model: GroundedSam, photos: list[Rendering], boxes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> list[np.ndarray]:
    """Masks for boxes (n, 4), which stand in for the detector's."""
    monkeypatch.setattr(model, "detect", lambda images, phrases: list(torch.from_numpy(boxes)))
    masks = model.segment([photo.rgb for photo in photos], [])
    return [mask for mask in masks if mask is not None]


def intersection_over_union(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours & theirs).sum() / (ours | theirs).sum())


def test_depth_follows_the_true_one(photos: list[Rendering]) -> None:
    depths = DepthEstimator(NANO, CPU).estimate([photo.rgb for photo in photos], [])
    correlations = [
        np.corrcoef(np.ravel(depth), photo.inverse_depth.ravel())[0, 1]
        for depth, photo in zip(depths, photos, strict=True)
    ]
    assert np.mean(correlations) >= 0.93


def test_depth_shows_the_subject_before_its_place(photos: list[Rendering]) -> None:
    depths = DepthEstimator(NANO, CPU).estimate([photo.rgb for photo in photos], [])
    nearer = 0
    for depth, photo in zip(depths, photos, strict=True):
        rows, columns = np.nonzero(photo.mask)
        beside = np.zeros_like(photo.mask)
        beside[rows.min() : rows.min() + np.ptp(rows) // 2, columns.min() : columns.max() + 1] = True  # no floor there
        nearer += depth[beside & photo.mask].mean() > depth[beside & ~photo.mask].mean() + 0.1
    assert nearer >= 0.9 * NUM_PHOTOS


@pytest.mark.parametrize("jitter_px", [0, 2])
def test_masks_are_the_subjects(
    photos: list[Rendering], grounded_sam: GroundedSam, monkeypatch: pytest.MonkeyPatch, jitter_px: int
) -> None:
    true = np.stack([photo.mask for photo in photos])
    boxes = jitter(boxes_of(true), np.random.default_rng(0), share=0, px=jitter_px)
    masks = segment(grounded_sam, photos, boxes, monkeypatch)
    assert np.mean([intersection_over_union(*pair) for pair in zip(masks, true, strict=True)]) >= 0.82


def test_a_mask_does_not_depend_on_its_neighbours(
    photos: list[Rendering], grounded_sam: GroundedSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = boxes_of(np.stack([photo.mask for photo in photos]))
    together = segment(grounded_sam, photos[:4], boxes[:4], monkeypatch)
    alone = segment(grounded_sam, photos[1:2], boxes[1:2], monkeypatch)
    assert (alone[0] != together[1]).mean() < 0.001


def test_boxes_hold_their_masks() -> None:
    mask = np.zeros((2, 64, 64), bool)
    mask[0, 3:10, 20:25] = True
    mask[1, 63, 0] = True
    assert boxes_of(mask).tolist() == [[20, 3, 25, 10], [0, 63, 1, 64]]


@pytest.mark.parametrize("network", ["depth", "segmenter"])
def test_the_untrained_one_is_the_same_network(network: str) -> None:
    model = untrained.build(network)
    ours = (model[0] if isinstance(model, tuple) else model).state_dict()
    config = load_config("nano")
    trained = (
        DepthEstimator(config.models.depth, CPU).model if network == "depth" else load_sam(config.models.segmenter)
    )
    assert {name: v.shape for name, v in ours.items()} == {name: v.shape for name, v in trained.state_dict().items()}
