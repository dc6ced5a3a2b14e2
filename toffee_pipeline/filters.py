"""Scores to a verdict. Pure, so that a finished run can be judged again with other thresholds."""

from __future__ import annotations

from toffee_pipeline.config.stages import JudgeConfig, SegmentConfig
from toffee_pipeline.schema import Reason


def decide(dino_score: float, clip_score: float, config: JudgeConfig) -> Reason | None:
    """None to keep the pair, else why not: subject similarity first, then text alignment (paper, section 2.1).

    dino_score: cosine of input and target image; clip_score: cosine of target image and prompt. Both raw, -1..1.
    """
    if config.min_dino is not None and dino_score < config.min_dino:
        return "low_dino"
    if config.max_dino is not None and dino_score > config.max_dino:
        return "high_dino"
    if config.min_clip is not None and clip_score < config.min_clip:
        return "low_clip"
    return None


def decide_mask(covered_fraction: float | None, config: SegmentConfig) -> Reason | None:
    """None when a subject's mask can carry an edit; `covered_fraction` is None where nothing was found."""
    if covered_fraction is None:
        return "no_mask"
    if covered_fraction < config.min_fraction:
        return "mask_too_small"
    if covered_fraction > config.max_fraction:
        return "mask_too_large"
    return None
