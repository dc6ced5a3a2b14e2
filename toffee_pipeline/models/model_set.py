"""The models of one process: each is loaded once, when a stage first asks for it, and shared by its stages."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from huggingface_hub.utils import disable_progress_bars

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models import registry
from toffee_pipeline.models.loading import pick_device

if TYPE_CHECKING:
    from toffee_pipeline.models.dino import DinoEncoder
    from toffee_pipeline.models.refiner import Refiner
    from toffee_pipeline.models.scores import ClipScorer, DinoScorer


class ModelSet:
    """Attributes are the model roles; what they promise stands in their classes' docstrings."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.device = pick_device(config.device)
        disable_progress_bars()  # transformers goes by it: a bar per model's tensors would drown the job's own progress

    @cached_property
    def subject(self) -> registry.SubjectModel:
        return registry.make_subject_model(self.config, self.device)

    @cached_property
    def mask(self) -> registry.MaskModel:
        return registry.make_mask_model(self.config, self.device)

    @cached_property
    def depth(self) -> registry.DepthModel:
        return registry.make_depth_model(self.config, self.device)

    @cached_property
    def draft(self) -> registry.DraftModel:
        return registry.make_draft_model(self.config, self.device)

    @cached_property
    def view(self) -> registry.ViewModel:
        return registry.make_view_model(self.config, self.device)

    @cached_property
    def dino(self) -> DinoEncoder:
        from toffee_pipeline.models.dino import DinoEncoder

        return DinoEncoder(self.config.models.dino, self.device)

    @cached_property
    def refiner(self) -> Refiner:
        from toffee_pipeline.models.refiner import Refiner

        return Refiner(self.config, self.device)

    @cached_property
    def dino_scorer(self) -> DinoScorer:
        from toffee_pipeline.models.scores import DinoScorer

        return DinoScorer(self.config, self.device)

    @cached_property
    def clip_scorer(self) -> ClipScorer:
        from toffee_pipeline.models.scores import ClipScorer

        return ClipScorer(self.config, self.device)
