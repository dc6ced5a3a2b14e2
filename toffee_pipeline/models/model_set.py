"""The models of one process: each is loaded once, when a stage first asks for it, and shared by its stages."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from transformers.utils.logging import disable_progress_bar

from toffee_pipeline.config.dataset import DatasetConfig, ImageDatasetConfig
from toffee_pipeline.models.loading import pick_device
from toffee_pipeline.models.protocols import Compilable, DepthModel, DraftModel, MaskModel, SubjectModel, ViewModel
from toffee_pipeline.models.roles import ROLES, load_role

if TYPE_CHECKING:
    from toffee_pipeline.models.dino import DinoEncoder
    from toffee_pipeline.models.refiner import Refiner
    from toffee_pipeline.models.scores import ClipScorer, DinoScorer


class ModelSet:
    """Attributes are the roles of `ROLES`; what they promise stands in `protocols.py` and in their classes."""

    subject: SubjectModel
    mask: MaskModel
    depth: DepthModel
    draft: DraftModel
    view: ViewModel
    dino: DinoEncoder
    refiner: Refiner
    dino_scorer: DinoScorer
    clip_scorer: ClipScorer

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config
        self.device = pick_device(config.device)
        disable_progress_bar()  # a bar per model's tensors would drown the job's own progress

    def __getattr__(self, role: str) -> Any:
        """Loads a role's model; Python asks only for attributes that are not there yet."""
        if role not in ROLES:
            raise AttributeError(f"no role {role!r}, only {', '.join(ROLES)}")
        model = load_role(role, self.config, self.device)
        setattr(self, role, model)
        return model

    def warm_up(self, role: str, batch_size: int) -> None:
        """Loads the role's model, and compiles what a micro-batch of this size will need."""
        model = getattr(self, role)
        if isinstance(model, Compilable) and model.speed.compile:
            size_px = self.config.size_px if isinstance(self.config, ImageDatasetConfig) else 0
            model.warm_up(batch_size, size_px)

    def under(self, config: DatasetConfig) -> Self:
        """The same models for stages of other settings: drafts and the Refiner's pictures follow them, and nothing is
        loaded again. config: differs in `stages.draft` and `stages.refine` alone."""
        other = copy.copy(self)
        other.config = config
        for role in ("draft", "refiner"):
            if config.player(role) == "networks":  # the renderer's drafts have no settings
                settings = config.stage(ROLES[role].stage or role)
                setattr(other, role, getattr(self, role).with_settings(settings))
        return other
