"""The table of scores and the reasons of rejection; from scores to a verdict.

Pure, so that a finished run can be judged again with other thresholds. The schema's columns, the verdict and the
report's sentences follow from the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toffee_pipeline.config.base import Kind, Model
from toffee_pipeline.config.stages import JudgeConfig, SegmentConfig, SubjectJudgeConfig

Reason = str
"""One of `REASONS`."""


@dataclass(frozen=True)
class Rejection:
    """Why a pair, or a subject of a bank, is rejected.

    sentence: for the report; the threshold follows it where there is one.
    stage: that rejects for it; empty where several may. key: the threshold's name in that stage's settings, where None
    switches it off; empty without a threshold.
    above: values above the threshold are rejected, and not those below.
    only: the kind of pair that it judges; None: both.
    explained: the ledger's `error` says more.
    broken: it speaks of a broken network rather than of a bad sample, and counts towards `max_failed_fraction`.
    """

    reason: Reason
    sentence: str
    stage: str = ""
    key: str = ""
    above: bool = False
    only: Kind | None = None
    explained: bool = False
    broken: bool = False

    def rejects(self, value: float | np.ndarray, settings: Model) -> bool | np.ndarray:
        """Of one value, or of each of many; NaN passes. settings: of `stage`."""
        threshold: float | None = getattr(settings, self.key)
        return threshold is not None and (value > threshold if self.above else value < threshold)

    def explain(self, stages: Model) -> str:
        """The sentence, with the threshold that a run's settings hold; those of another job hold none."""
        settings = getattr(stages, self.stage, None)
        return f"{self.sentence} {getattr(settings, self.key)}" if hasattr(settings, self.key) else self.sentence


@dataclass(frozen=True)
class Score:
    """A measure of a finished pair, or of a bank's subject, a float.

    label: for the report. role: who gives it (`models.roles.ROLES`); where that one needs weights and the config names
    none, the score is off and its column is null. of: what is compared, in this order. method: the role's, by name.
    only: the kind of pair that has this score; the other's is null.
    """

    name: str
    label: str
    role: str
    of: tuple[Literal["input", "target", "mask", "image", "draft", "prompt"], ...]
    bounds: tuple[Rejection, ...]
    method: str = "score"
    only: Kind | None = None

    @property
    def column(self) -> str:
        return f"{self.name}_score"


SCORES: tuple[Score, ...] = (
    Score(
        "dino",
        "DINO",
        "dino_scorer",
        ("input", "target"),
        (
            Rejection("low_dino", "input and target show different subjects: DINO below", "judge", "min_dino"),
            Rejection(
                "high_dino",
                "the target of a generation pair is its input again: DINO above",
                "judge",
                "max_dino",
                above=True,
                only="generation",
            ),
        ),
    ),
    Score(
        "hash_distance",
        "hash distance",
        "pixel_scorer",
        ("input", "target"),
        (
            Rejection(
                "copied",
                "the target of a generation pair is its input again: differing bits of their perceptual hashes, below",
                "judge",
                "min_hash_distance",
            ),
        ),
        method="hash_distance",
        only="generation",
    ),
    Score(
        "change",
        "change",
        "pixel_scorer",
        ("input", "target", "mask"),
        (
            Rejection(
                "unchanged",
                "an edit changed nothing: levels of 255 by which its mask's most changed pixels differ, below",
                "judge",
                "min_change",
            ),
        ),
        method="change",
        only="edit",
    ),
    Score(
        "clip",
        "CLIP",
        "clip_scorer",
        ("target", "prompt"),
        (Rejection("low_clip", "the target does not follow its prompt: CLIP below", "judge", "min_clip"),),
    ),
    Score(
        "clip_gain",
        "CLIP gain",
        "clip_scorer",
        ("input", "target", "prompt"),
        (
            Rejection(
                "low_clip_gain",
                "the target of an edit follows its prompt hardly better than the input does: CLIP gain below",
                "judge",
                "min_clip_gain",
            ),
        ),
        method="gain",
        only="edit",
    ),
    Score(
        "aesthetic",
        "aesthetic",
        "aesthetic_scorer",
        ("target",),
        (Rejection("low_aesthetic", "the target is not pleasing: aesthetic score below", "judge", "min_aesthetic"),),
    ),
)
"""In the order in which they judge: subject similarity first, then text alignment (paper, section 2.1). Both are raw
cosines, -1..1. Between them stand the guards of `pixels`, ours: pairs that are one picture twice. The CLIP gain, a
difference of two cosines, is ours too: an edit's prompt names its class, which the input shows as well, so that CLIP
alone passes targets without their change. The aesthetic score is its head's, without bounds."""
GATES: dict[str, Score] = {
    "check_subject": Score(
        "subject_clip",
        "CLIP of the subject",
        "clip_scorer",
        ("image", "prompt"),
        (
            Rejection(
                "subject_gate",
                "the subject's image does not show its prompt: CLIP before the draft, below",
                "check_subject",
                "min_clip",
            ),
        ),
    ),
    "check_draft": Score(
        "draft_clip",
        "CLIP of the draft",
        "clip_scorer",
        ("draft", "prompt"),
        (
            Rejection(
                "draft_gate",
                "the draft does not follow the pair's prompt: CLIP before refining, below",
                "check_draft",
                "min_clip",
            ),
        ),
    ),
    "check_refined": Score(
        "refined_dino",
        "DINO of the refined image",
        "dino_scorer",
        ("target", "image"),
        (
            Rejection(
                "refined_gate",
                "the refined image shows another subject: DINO before the other view is drawn, below",
                "check_refined",
                "min_dino",
                only="generation",
            ),
        ),
        only="generation",
    ),
}
"""By stage: the scores that reject before expensive work, as SuTI and others do after it. Ours; off where they have no
bound."""
SUBJECT_SCORES: tuple[Score, ...] = (
    Score(
        "clip",
        "CLIP",
        "clip_scorer",
        ("image", "prompt"),
        (
            Rejection(
                "low_subject_clip", "the image does not show its subject's prompt: CLIP below", "judge", "min_clip"
            ),
        ),
    ),
)
"""Of the subjects of a bank."""
PICTURE_SCORES: tuple[Score, ...] = (
    Score("dino_toffee", "DINO, toffee", "dino_scorer", (), ()),
    Score("clip_i_toffee", "CLIP-I, toffee", "clip_scorer", (), ()),
    Score("seg_dino_toffee", "Seg-DINO, toffee", "dino_scorer", (), ()),
    Score("seg_clip_i_toffee", "Seg-CLIP-I, toffee", "clip_scorer", (), ()),
    Score("dino_single", "DINO, single", "dino_scorer", (), ()),
    Score("clip_i_single", "CLIP-I, single", "clip_scorer", (), ()),
    Score("seg_dino_single", "Seg-DINO, single", "dino_scorer", (), ()),
    Score("seg_clip_i_single", "Seg-CLIP-I, single", "clip_scorer", (), ()),
    Score("clip_t", "CLIP-T", "clip_scorer", (), ()),
    Score("copy_paste", "copy-paste", "dino_scorer", (), ()),
)
"""Of the pictures of an evaluation, under the protocols of `evaluation.similarity`; they compare a picture with all of
its subject's, and judge none. NaN and None: there is nothing to compare with."""
MASK_BOUNDS = (
    Rejection("mask_too_small", "the subject fills too little of its image: below", "segment", "min_fraction"),
    Rejection(
        "mask_too_large", "the subject fills too much of its image: above", "segment", "max_fraction", above=True
    ),
)
REASONS: dict[Reason, Rejection] = {
    row.reason: row
    for row in (
        Rejection(
            "unreadable",
            "your file cannot be read, or shows nothing; the ledger's column `error` says why",
            "synthesize",
            explained=True,
        ),
        Rejection("other_language", "its prompt is not English (other_languages)", "screen"),
        Rejection("unsafe", "what it says or shows is unsafe; the ledger's column `error` says why", explained=True),
        Rejection("not_finite", "a network gave NaN or infinite values", explained=True, broken=True),
        Rejection("flat_image", "a network's image is one colour all over", explained=True, broken=True),
        Rejection(
            "duplicate_subject",
            "the subject looks like an earlier one of its shard: differing bits of their perceptual hashes, below",
            "synthesize",
            "min_hash_distance",
            explained=True,
        ),
        Rejection("no_mask", "the subject was not found in its image", "segment"),
        Rejection("no_part", "what is to be removed was not found on the subject", "segment"),
        *MASK_BOUNDS,
        Rejection("not_added", "the addition that it turns round was rejected", "judge"),
        Rejection("not_kept", "the view's thresholds accept it, but the run did not keep its images (output.keep)"),
        Rejection("near_duplicate", "the subject looks like an earlier one of its class that the view has"),
        Rejection("subject_full", "the view takes no more pairs of its subject"),
        Rejection("class_full", "the view takes no more pairs of its class"),
        Rejection("category_full", "the view takes no more pairs of its category"),
        *(bound for score in (*GATES.values(), *SCORES, *SUBJECT_SCORES) for bound in score.bounds),
    )
}
JUDGED: frozenset[Reason] = frozenset(
    {"not_added", *(bound.reason for score in (*SCORES, *SUBJECT_SCORES) for bound in score.bounds)}
)
"""Reasons that follow from finished scores alone: under other thresholds such a row may be accepted."""


def keeps_images(keep: Literal["accepted", "scored", "all"], reason: Reason | None) -> bool:
    """Whether a run keeps the images of what it rejected for this reason. keep: its setting `output.keep`."""
    return (keep == "all" and reason != "unsafe") or (keep == "scored" and reason in JUDGED)


def decide(
    scores: Mapping[str, float],
    config: JudgeConfig | SubjectJudgeConfig,
    kind: Kind | None = None,
    table: tuple[Score, ...] = SCORES,
) -> Reason | None:
    """None to keep the pair, or the subject of a bank, else why not. scores: by name; one that is off is missing.
    kind: of the pair."""
    for score in table:
        for bound in score.bounds:
            judged = score.name in scores and bound.only in (None, kind)
            if judged and bound.rejects(scores[score.name], config):
                return bound.reason
    return None


def decide_all(scores: Mapping[str, np.ndarray], config: JudgeConfig, kinds: np.ndarray) -> np.ndarray:
    """As `decide`, of n pairs at once: reasons and None, (n,). scores: each float64 (n,), NaN where a pair has none."""
    reasons: np.ndarray = np.full(len(kinds), None)
    for score in reversed(SCORES):  # of several bounds the first has the last word
        for bound in reversed(score.bounds):
            judged = True if bound.only is None else kinds == bound.only
            reasons[judged & bound.rejects(scores[score.name], config)] = bound.reason
    return reasons


def decide_mask(covered_fraction: float | None, config: SegmentConfig) -> Reason | None:
    """None when a subject's mask can carry an edit; `covered_fraction` is None where nothing was found."""
    if covered_fraction is None:
        return "no_mask"
    return next((bound.reason for bound in MASK_BOUNDS if bound.rejects(covered_fraction, config)), None)
