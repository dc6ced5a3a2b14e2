from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from toffee_pipeline.config import MaskConfig, ModelSpec, RunConfig
from toffee_pipeline.models.grounded_sam import GroundedSam, load_sam
from toffee_pipeline.schema import Subject


def test_masks_are_independent(
    make_config: Callable[..., RunConfig], device: torch.device, subjects: list[Subject], images: list[np.ndarray]
) -> None:
    model = GroundedSam(make_config(mask=MaskConfig(box_threshold=0.0, text_threshold=0.0)), device)
    together = model.segment(images, subjects)
    swapped = model.segment(images[::-1], subjects[::-1])
    alone = model.segment(images[1:2], subjects[1:2])
    assert all(mask is not None and mask.dtype == bool and mask.shape == (64, 64) for mask in together)
    assert np.array_equal(together[1], swapped[1])
    assert (alone[0] != together[1]).mean() < 0.001


def test_nothing_found_is_none(
    make_config: Callable[..., RunConfig], device: torch.device, subjects: list[Subject], images: list[np.ndarray]
) -> None:
    model = GroundedSam(make_config(mask=MaskConfig(box_threshold=1.0)), device)
    assert model.segment(images, subjects) == [None, None, None]


def test_only_the_found_get_a_mask(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    subjects: list[Subject],
    images: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = GroundedSam(make_config(), device)
    box = torch.tensor([8.0, 8.0, 40.0, 40.0])
    monkeypatch.setattr(model, "detect", lambda images, phrases: [None, box, None])
    masks = model.segment(images, subjects)
    assert masks[0] is None and masks[2] is None and masks[1] is not None


def test_a_hub_segmenter_needs_its_file_name(config: RunConfig) -> None:
    models = config.models.model_copy(update={"segmenter": ModelSpec(id="a/b")})
    with pytest.raises(ValueError, match="variant"):
        load_sam(models)


def test_a_file_that_is_no_state_dict_is_refused(config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(np.random.default_rng(0), path)  # anything that must be unpickled
    models = config.models.model_copy(update={"segmenter": ModelSpec(path=path), "segmenter_type": "vit_b"})
    with pytest.raises(Exception, match="[Ww]eights"):
        load_sam(models)
