"""The trained nano detector finds the named thing on photos that no training saw, and no thing that is not there."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.grounded_sam import GroundedSam
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.nano import world
from toffee_pipeline.nano.world_samples import SIZE_PX, ViewSample, draw_photo
from toffee_pipeline.recipe.detector import boxes_of
from toffee_pipeline.schema.subjects import Subject

FIRST_UNSEEN = 900_000
NUM_PHOTOS = 36


@pytest.fixture(scope="module")
def photos() -> list[ViewSample]:
    return [draw_photo(FIRST_UNSEEN + index) for index in range(NUM_PHOTOS)]


@pytest.fixture(scope="module")
def grounded_sam() -> GroundedSam:
    config = load_config("nano")
    return GroundedSam(config.models.detector, config.models.segmenter, config.stages.segment, torch.device("cpu"))


def images_of(photos: list[ViewSample]) -> list[np.ndarray]:
    return [photo.rendering.rgb for photo in photos]


def test_boxes_are_the_subjects(photos: list[ViewSample], grounded_sam: GroundedSam) -> None:
    true = boxes_of(np.stack([photo.rendering.mask for photo in photos])) * SIZE_PX
    found = grounded_sam.detect(images_of(photos), [photo.subject.class_name for photo in photos])
    overlaps = [0.0 if box is None else box_iou(box[None], t[None]).item() for box, t in zip(found, true, strict=True)]
    assert np.mean(overlaps) >= 0.75


def test_other_names_find_little(photos: list[ViewSample], grounded_sam: GroundedSam) -> None:
    names, count = world.CLASS_NAMES, len(world.CLASS_NAMES)
    wrong = [names[(names.index(photo.subject.class_name) + 5) % count] for photo in photos]
    assert np.mean([box is None for box in grounded_sam.detect(images_of(photos), wrong)]) >= 0.8


def test_detector_and_segmenter_together_mask_the_subject(photos: list[ViewSample], grounded_sam: GroundedSam) -> None:
    subjects = [Subject("", photo.subject.class_name, "", 0) for photo in photos]
    masks = grounded_sam.segment(images_of(photos), subjects)
    overlaps = [
        0.0 if mask is None else (mask & photo.rendering.mask).sum() / (mask | photo.rendering.mask).sum()
        for mask, photo in zip(masks, photos, strict=True)
    ]
    assert np.mean(overlaps) >= 0.7


def test_the_untrained_one_is_the_same_network(grounded_sam: GroundedSam) -> None:
    model, _ = untrained.build("detector")
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert shapes == {name: value.shape for name, value in grounded_sam.detector.state_dict().items()}
