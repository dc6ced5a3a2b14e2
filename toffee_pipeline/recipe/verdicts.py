"""What an encoder of the filter says of true and of false pairs of subjects that its training did not see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.config.base import CATEGORIES
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.recipe.pairs import NOT_IT, PICTURES, PairData
from toffee_pipeline.recipe.prompts import KINDS, UNDONE, pair_prompts

BATCH = 128
HOPELESS = "same palette"
"""Toys of a class differ less in shape than a change of pattern changes one: these no threshold tells apart."""


@dataclass(frozen=True)
class Verdicts:
    """Cosines of true and of false pairs, by kind of pair."""

    true: dict[str, list[float]]
    false: dict[str, list[float]]

    def keeping(self, share: float) -> float:
        """The highest threshold, in hundredths, that keeps so many of the true pairs of every kind."""
        return float(np.floor(100 * min(np.quantile(scores, 1 - share) for scores in self.true.values())) / 100)

    def refusing(self, share: float) -> float:
        """The lowest threshold, in hundredths, that refuses so many of the false pairs of every kind but `HOPELESS`."""
        refused = [scores for kind, scores in self.false.items() if HOPELESS not in kind]
        return float(np.ceil(100 * max(np.quantile(scores, share) for scores in refused)) / 100)

    def passed(self, threshold: float) -> dict[str, float]:
        """Share of the true pairs of each kind that pass."""
        return {kind: float((np.array(scores) >= threshold).mean()) for kind, scores in self.true.items()}

    def refused(self, threshold: float) -> dict[str, float]:
        """Share of the false pairs of each kind that do not."""
        return {kind: float((np.array(scores) < threshold).mean()) for kind, scores in self.false.items()}


@torch.no_grad()
def dino_verdicts(encode: Callable[[Sequence[np.ndarray]], Tensor], data: PairData) -> Verdicts:
    """Of an encoder of pictures, uint8 (64, 64, 3) each to (b, c).

    An edit pair is a subject and its change, a generation pair another view of it and the change. False pairs show
    another toy in the place of the change: one in the subject's palette, one with its shape, any of its class.
    """
    pictures = [encode(list(data.rgb[:, picture])) for picture in range(len(PICTURES))]
    true: dict[str, list[float]] = {}
    false: dict[str, list[float]] = {}
    for kind, first in (("edit", "subject"), ("generation", "view")):
        for name in (*CATEGORIES, *PICTURES[NOT_IT:]):
            second = PICTURES.index(name)
            cosines = F.cosine_similarity(pictures[PICTURES.index(first)], pictures[second], dim=-1)
            verdicts = true if second < NOT_IT else false
            verdicts[f"{kind}, {name}"] = cosines[torch.from_numpy(data.seen[:, second])].tolist()
    return Verdicts(true, false)


def clip_verdicts(
    score: Callable[[Sequence[np.ndarray], Sequence[str]], list[float]], data: PairData, seed: int = 0
) -> Verdicts:
    """Of a scorer of pictures, uint8 (64, 64, 3) each, and their prompts.

    True: a pair's target and its prompt. False: the unchanged subject and that prompt; the target and the prompt of
    another change. The target of an undone addition is the subject, and unchanged is what has the addition.
    """
    catalog, rng = load_catalog("nano"), np.random.default_rng(seed)
    asked: list[tuple[str, np.ndarray, str]] = []
    for rgb, facts, seen in zip(data.rgb, data.facts, data.seen, strict=True):
        for own, another in pair_prompts(facts, catalog, rng):
            picture = PICTURES.index("addition" if own.kind == UNDONE else own.kind)
            if seen[picture]:
                subject, changed = rgb[0], rgb[picture]
                target, unchanged = (subject, changed) if own.kind == UNDONE else (changed, subject)
                asked += [(own.kind, target, own.words), (f"{own.kind}, unchanged", unchanged, own.words)]
                if another is not None:
                    asked.append((f"{own.kind}, another", target, another.words))
    true: defaultdict[str, list[float]] = defaultdict(list)
    false: defaultdict[str, list[float]] = defaultdict(list)
    for start in range(0, len(asked), BATCH):
        kinds, images, words = zip(*asked[start : start + BATCH], strict=True)
        for kind, cosine in zip(kinds, score(images, words), strict=True):
            (true if kind in KINDS else false)[kind].append(cosine)
    return Verdicts(dict(true), dict(false))
