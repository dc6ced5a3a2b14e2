"""Scores that judge the pictures of a pair, and the figures of many pairs.

DINO, CLIP-I and CLIP-T are DreamBooth's (section 4.1 of its paper), here with one image of the subject; Seg-CLIP-I is
CLIP-I of cut-outs. Where the truth is known, they also tell how far a picture is from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.config.base import Category
from toffee_pipeline.evaluation.estimate import Estimate, ratio
from toffee_pipeline.images import black_out
from toffee_pipeline.models.model_set import ModelSet

METRICS = ("dino", "clip_i", "seg_clip_i", "error", "clip_t")
"""See `Judge.scores`. Of "error" less is better, of the others more."""
PICTURES = ("draft", "refined", "oracle")
"""oracle: what a perfect Refiner would paint."""
Images = Sequence[np.ndarray]
"""uint8 (H, W, 3) in RGB, each."""


@dataclass(frozen=True)
class Scored:
    """One picture of one pair. picture: one of PICTURES, or a setting such as "g=0.3"; scores: by METRICS."""

    seed: int
    category: Category
    picture: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Group:
    """Figures of some pairs.

    means: picture -> metric -> mean over the pairs.
    gap_share: metric -> (refined - draft) / (oracle - draft): 0 is the draft, 1 the oracle, more goes beyond it. NaN
        where the oracle is no better than the draft, as an encoder may find after a change of style.
    clip_t_change: (refined - draft) / draft of CLIP-T.
    """

    num_pairs: int
    means: dict[str, dict[str, Estimate]]
    gap_share: dict[str, Estimate]
    clip_t_change: Estimate


class Judge:
    """Scores the pictures of some pairs; the arguments' elements belong to one pair each.

    Args:
        models: its scorers are used: `dino_scorer` and `clip_scorer`.
        subjects: images of the subjects; uint8 (H, W, 3) as all others.
        oracles: in the place of the pictures, so that pixels can be compared.
        masks: bool (H, W) each, the subject's in its image and in every picture.
        prompts: of the pictures.
    """

    def __init__(
        self, models: ModelSet, subjects: Images, oracles: Images, masks: Sequence[np.ndarray], prompts: Sequence[str]
    ) -> None:
        self.dino, self.clip = models.dino_scorer, models.clip_scorer
        self.oracles, self.masks, self.prompts = oracles, masks, prompts
        self.subjects = self._encode(subjects)

    def scores(self, pictures: Images) -> list[dict[str, float]]:
        """Per picture a score for each of METRICS.

        dino, clip_i: cosine to the subject's image. seg_clip_i: the same of both cut-outs, black outside the mask.
        error: mean absolute difference to the oracle inside the mask, in grey levels, 0..255. clip_t: cosine of the
        picture and its prompt.
        """
        cosines = [
            F.cosine_similarity(subject, picture, dim=-1).tolist()
            for subject, picture in zip(self.subjects, self._encode(pictures), strict=True)
        ]
        errors = [
            float(np.abs(picture.astype(float) - oracle)[mask].mean())
            for picture, oracle, mask in zip(pictures, self.oracles, self.masks, strict=True)
        ]
        columns = (*cosines, errors, self.clip.score(pictures, self.prompts))
        return [dict(zip(METRICS, values, strict=True)) for values in zip(*columns, strict=True)]

    def _encode(self, images: Images) -> list[Tensor]:
        cut_outs = [black_out(image, ~mask) for image, mask in zip(images, self.masks, strict=True)]
        return [self.dino.encode(images), self.clip.encode_images(images), self.clip.encode_images(cut_outs)]


def group(rows: Sequence[Scored], refined: str = "refined") -> Group:
    """Figures of the pairs of `rows`, with error bars over their seeds.

    Args:
        rows: of each pair its draft, its oracle and the picture named `refined`; others are ignored.
        refined: the picture that is compared with draft and oracle.
    """
    seeds = sorted({row.seed for row in rows})
    names = {"draft": "draft", "refined": refined, "oracle": "oracle"}
    by_seed = [
        {picture: [row for row in rows if (row.seed, row.picture) == (seed, name)] for picture, name in names.items()}
        for seed in seeds
    ]
    counts = [len(pictures["draft"]) for pictures in by_seed]

    def sums(picture: str, metric: str) -> np.ndarray:
        return np.array([sum(row.scores[metric] for row in pictures[picture]) for pictures in by_seed])

    def gap_share(metric: str) -> Estimate:
        draft = sums("draft", metric)
        gap = sums("oracle", metric) - draft
        if gap.sum() * (-1 if metric == "error" else 1) <= 0:
            return Estimate(float("nan"), None, (None,) * len(seeds))
        return ratio(sums("refined", metric) - draft, gap)

    clip_t = sums("draft", "clip_t")
    return Group(
        num_pairs=sum(counts),
        means={picture: {metric: ratio(sums(picture, metric), counts) for metric in METRICS} for picture in PICTURES},
        gap_share={metric: gap_share(metric) for metric in METRICS if metric != "clip_t"},
        clip_t_change=ratio(sums("refined", "clip_t") - clip_t, clip_t),
    )
