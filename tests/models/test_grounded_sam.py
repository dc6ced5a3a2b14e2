from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

from toffee_pipeline.config.base import GroundingConfig, SegmenterSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.grounded_sam import GroundedSam, detect_boxes, load_sam
from toffee_pipeline.schema.subjects import Subject


def make_model(config: RunConfig, device: torch.device, **thresholds: float) -> GroundedSam:
    return GroundedSam(config.models.detector, config.models.segmenter, GroundingConfig(**thresholds), device)


def test_masks_are_independent(
    config: RunConfig, device: torch.device, subjects: list[Subject], images: list[np.ndarray]
) -> None:
    model = make_model(config, device, box_threshold=0.0, text_threshold=0.0)
    together = model.segment(images, subjects)
    swapped = model.segment(images[::-1], subjects[::-1])
    alone = model.segment(images[1:2], subjects[1:2])
    assert all(mask is not None and mask.dtype == bool and mask.shape == (64, 64) for mask in together)
    assert np.array_equal(together[1], swapped[1])
    assert (alone[0] != together[1]).mean() < 0.001


def test_nothing_found_is_none(
    config: RunConfig, device: torch.device, subjects: list[Subject], images: list[np.ndarray]
) -> None:
    model = make_model(config, device, box_threshold=1.0)
    assert model.segment(images, subjects) == [None, None, None]


def test_only_the_found_get_a_mask(
    config: RunConfig,
    device: torch.device,
    subjects: list[Subject],
    images: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model(config, device)
    box = torch.tensor([8.0, 8.0, 40.0, 40.0])
    monkeypatch.setattr(model, "detect", lambda images, phrases: [None, box, None])
    masks = model.segment(images, subjects)
    assert masks[0] is None and masks[2] is None and masks[1] is not None


def test_grounding_dino_detects_too(device: torch.device, images: list[np.ndarray]) -> None:
    detector, processor = build_grounding_dino()
    names = ["mug", "toy car", "cat"]
    found = detect_boxes(detector, processor, images, names, GroundingConfig(box_threshold=0.0, text_threshold=0.0))
    assert all(box is not None and box.shape == (4,) for box in found)
    alone = detect_boxes(
        detector, processor, images[1:2], names[1:2], GroundingConfig(box_threshold=0, text_threshold=0)
    )
    assert alone[0] is not None and found[1] is not None and torch.allclose(alone[0], found[1], atol=0.01)
    assert detect_boxes(detector, processor, images, names, GroundingConfig(box_threshold=1.0)) == [None] * 3


def test_no_sign_parts_a_phrase_for_grounding_dino(device: torch.device, images: list[np.ndarray]) -> None:
    detector, processor = build_grounding_dino()
    thresholds = GroundingConfig(box_threshold=0.0, text_threshold=0.0)
    found = detect_boxes(detector, processor, images, ["St. Bernard", "mug? no. 7", "..?"], thresholds)
    plain = detect_boxes(detector, processor, images, ["St Bernard", "mug no 7", "object"], thresholds)
    for box, expected in zip(found, plain, strict=True):
        assert box is not None and expected is not None and torch.equal(box, expected)


@pytest.mark.parametrize("kind", ["OWL-ViT", "Grounding DINO"])
def test_a_phrase_too_long_for_the_detector_is_cut(
    config: RunConfig, device: torch.device, images: list[np.ndarray], kind: str
) -> None:
    model = make_model(config, device)
    detector, processor = (model.detector, model.processor) if kind == "OWL-ViT" else build_grounding_dino()
    names = ["mug", "very " * 400 + "long name", "cat"]
    found = detect_boxes(detector, processor, images, names, GroundingConfig(box_threshold=0.0, text_threshold=0.0))
    assert all(box is not None and box.isfinite().all() for box in found)


def test_a_hub_segmenter_needs_its_file_name() -> None:
    with pytest.raises(ConfigError, match="models.segmenter: .*needs `variant`"):
        load_config("nano", ("models.segmenter.weights=pretrained", "models.segmenter.id=a/b"))


def test_a_file_that_is_no_state_dict_is_refused(config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(np.random.default_rng(0), path)  # anything that must be unpickled
    with pytest.raises(Exception, match="[Ww]eights"):
        load_sam(SegmenterSpec(path=path, type="vit_b"))


def build_grounding_dino() -> tuple[GroundingDinoForObjectDetection, GroundingDinoProcessor]:
    """The full-size detector's class, tiny and untrained; its code holds the ids of BERT's special tokens."""
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    tokens = {index: f"[unused{index}]" for index in range(1030)} | {index: token for token, index in special.items()}
    for offset, letter in enumerate("abcdefghijklmnopqrstuvwxyz"):
        tokens |= {200 + offset: letter, 300 + offset: f"##{letter}"}
    tokenizer = BertTokenizer(vocab={token: index for index, token in tokens.items()}, model_max_length=256)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4, out_indices=[2, 3]
        ),
        text_config=BertConfig(
            vocab_size=1030, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        d_model=32,
        num_queries=20,
        num_feature_levels=3,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
    )
    torch.manual_seed(0)
    size = {"shortest_edge": 64, "longest_edge": 64}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), tokenizer)
    return GroundingDinoForObjectDetection(config).eval(), processor
