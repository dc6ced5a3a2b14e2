"""Filter thresholds of the nano encoders on held-out renders, through the scorers that the pipeline uses."""

from __future__ import annotations

import torch

from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.scores import ClipScorer, DinoScorer
from toffee_pipeline.recipe.pairs import FIRST_UNSEEN, render_subjects
from toffee_pipeline.recipe.verdicts import Verdicts, clip_verdicts, dino_verdicts

CPU = torch.device("cpu")
KEPT, REFUSED = 0.85, 0.9


def calibrate(count: int = 108) -> dict[str, tuple[float, Verdicts]]:
    """The thresholds `min_dino` and `min_clip`, and the verdicts on unseen subjects that they were fitted to.

    A lost subject spoils a dataset, a refused pair costs a pair: `min_dino` is the lowest that refuses 90 % of the
    pairs of two subjects. CLIP cannot tell every change: `min_clip` is the highest that keeps 85 % of true targets.
    """
    config, data = load_config("nano"), render_subjects(range(FIRST_UNSEEN, FIRST_UNSEEN + count))
    dino = dino_verdicts(DinoScorer(config.models.filter_dino, CPU).encode, data)
    clip = clip_verdicts(ClipScorer(config.models.clip, CPU).score, data)
    return {"min_dino": (dino.refusing(REFUSED), dino), "min_clip": (clip.keeping(KEPT), clip)}
