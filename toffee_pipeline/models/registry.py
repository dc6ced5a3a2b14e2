"""Which class plays a role, as the config says. A network's class is imported with its libraries when its role is asked
for: an actor of one stage, or a test without models, need not load them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.nano.renderer import (
    RendererDepth,
    RendererDraft,
    RendererMask,
    RendererSubject,
    RendererView,
)
from toffee_pipeline.schema import Pair, Subject

Images = Sequence[np.ndarray]
"""uint8 (size_px, size_px, 3) in RGB, each."""
Results = Sequence[np.ndarray | SampleError]
"""As `Images`; a sample that fails on its own has a SampleError in its place."""


class SubjectModel(Protocol):
    """Subject images from planned subjects."""

    def create(self, subjects: Sequence[Subject]) -> Results: ...


class MaskModel(Protocol):
    """The subject's mask, bool (size_px, size_px); None where it is not found."""

    def segment(self, images: Images, subjects: Sequence[Subject]) -> Sequence[np.ndarray | None]: ...


class DepthModel(Protocol):
    """Inverse depth of the subject image: float32 (size_px, size_px) in 0..1, 1 = nearest."""

    def estimate(self, images: Images, subjects: Sequence[Subject]) -> Results: ...


class DraftModel(Protocol):
    """Drafts: the pair's prompt on the layout that its subject's inverse depth gives. Element i is of pairs[i]."""

    def draft(self, pairs: Sequence[Pair], subjects: Sequence[Subject], depths: Sequence[np.ndarray]) -> Results: ...


class ViewModel(Protocol):
    """Other views of the subjects whose DINO tokens (b, 1 + n, c) are given."""

    def generate(self, tokens: Tensor, subjects: Sequence[Subject], seeds: Sequence[int]) -> Results: ...


def make_subject_model(config: RunConfig, device: torch.device) -> SubjectModel:
    """By subjects.source: SDXL, a folder of images, or the renderer."""
    if config.subjects.source == "renderer":
        return RendererSubject(config, device)
    from toffee_pipeline.models.subject import FolderSubject, SDXLSubject

    return (FolderSubject if config.subjects.source == "folder" else SDXLSubject)(config, device)


def make_mask_model(config: RunConfig, device: torch.device) -> MaskModel:
    """The renderer where it stands in, else Grounded-SAM."""
    if config.plays_renderer("mask"):
        return RendererMask(config, device)
    from toffee_pipeline.models.grounded_sam import GroundedSam

    models = config.models
    return GroundedSam(models.detector, models.segmenter, config.stages.segment, device)


def make_depth_model(config: RunConfig, device: torch.device) -> DepthModel:
    """The renderer where it stands in, else the depth network."""
    if config.plays_renderer("depth"):
        return RendererDepth(config, device)
    from toffee_pipeline.models.depth import DepthEstimator

    return DepthEstimator(config.models.depth, device)


def make_draft_model(config: RunConfig, device: torch.device) -> DraftModel:
    """The renderer where it stands in, else the depth ControlNet."""
    if config.plays_renderer("draft"):
        return RendererDraft(config, device)
    from toffee_pipeline.models.draft import ControlNetDraft

    return ControlNetDraft(config, device)


def make_view_model(config: RunConfig, device: torch.device) -> ViewModel:
    """The renderer where it stands in, else the View Generator."""
    if config.plays_renderer("view"):
        return RendererView(config, device)
    from toffee_pipeline.models.view_generator import ViewGenerator

    return ViewGenerator(config, device)
