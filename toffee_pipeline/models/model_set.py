"""The models of one process: each is loaded once, when a stage first asks for it, and shared by its stages."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from toffee_pipeline.config import RunConfig
from toffee_pipeline.models.loading import pick_device

if TYPE_CHECKING:
    from toffee_pipeline.models.dino import DinoEncoder
    from toffee_pipeline.models.refiner import Refiner
    from toffee_pipeline.models.registry import DepthModel, DraftModel, MaskModel, SubjectModel, ViewModel
    from toffee_pipeline.models.scores import ClipScorer, DinoScorer


class ModelSet:
    """Attributes are the model roles; what they promise stands in their classes' docstrings."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.device = pick_device(config.device)

    def _make(self, role: str) -> Any:
        from toffee_pipeline.models import registry  # every model library: seconds, for whoever asks for a model

        return registry.make(role, self.config, self.device)

    @cached_property
    def subject(self) -> SubjectModel:
        return self._make("subject")

    @cached_property
    def mask(self) -> MaskModel:
        return self._make("mask")

    @cached_property
    def depth(self) -> DepthModel:
        return self._make("depth")

    @cached_property
    def draft(self) -> DraftModel:
        return self._make("draft")

    @cached_property
    def view(self) -> ViewModel:
        return self._make("view")

    @cached_property
    def dino(self) -> DinoEncoder:
        return self._make("dino")

    @cached_property
    def refiner(self) -> Refiner:
        return self._make("refiner")

    @cached_property
    def dino_scorer(self) -> DinoScorer:
        return self._make("dino_scorer")

    @cached_property
    def clip_scorer(self) -> ClipScorer:
        return self._make("clip_scorer")
