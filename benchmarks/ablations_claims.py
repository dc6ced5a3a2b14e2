"""From scores of pictures to claims that hold, are reversed, or stay within their error, and their tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from benchmarks.ablations_plan import CLAIMS, METRICS, Cell, Claim
from benchmarks.evidence_tables import Table, finite, markdown_lines, number
from toffee_pipeline.evaluation.estimate import Estimate

BAR = 2
"""Standard errors within which a difference is none."""
Scores = Mapping[str, Mapping[str, float]]
"""Of the pictures of one network, asked in one way: metric to subject to its mean."""
Found = Mapping[Cell, Mapping[int, Scores]]
"""By cell and seed."""
Verdict = Literal["holds", "reversed", "within error", "no error bar", "not run"]


@dataclass(frozen=True)
class Judged:
    """A claim and its difference, more - less; None where a cell was not run."""

    claim: Claim
    difference: Estimate | None
    verdict: Verdict


def estimate(by_seed: Sequence[Mapping[str, float]]) -> Estimate:
    """The mean over seeds and subjects, with the error of both: as of the sum of two independent effects, whose means
    have the variances that seeds and subjects show. An error of seeds alone would take the subjects for all there are.

    by_seed: subject to value; those that every seed has count, since a cut-out may be missing.
    """
    known = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
    if not known:
        return Estimate(float("nan"), None, (None,) * len(by_seed))
    values = np.array([[seed[subject] for subject in known] for seed in by_seed])
    num_seeds, num_subjects = values.shape
    seeds = tuple(map(float, values.mean(1)))
    if min(num_seeds, num_subjects) < 2:
        return Estimate(float(values.mean()), None, seeds)
    variance = values.mean(1).var(ddof=1) / num_seeds + values.mean(0).var(ddof=1) / num_subjects
    return Estimate(float(values.mean()), float(math.sqrt(variance)), seeds)


def judge(claim: Claim, found: Found) -> Judged:
    """Of seeds that both cells have, subject by subject: what all pictures of a subject share falls out."""
    more, less = found.get(claim.more, {}), found.get(claim.less, {})
    differences = [_less(more[seed][claim.metric], less[seed][claim.metric]) for seed in sorted(more.keys() & less)]
    if not differences:
        return Judged(claim, None, "not run")
    difference = estimate(differences)
    return Judged(claim, difference, _verdict(difference, claim.same))


def _less(more: Mapping[str, float], less: Mapping[str, float]) -> dict[str, float]:
    return {subject: more[subject] - less[subject] for subject in more.keys() & less}


def _verdict(difference: Estimate, same: bool) -> Verdict:
    if difference.error is None:
        return "no error bar"
    beyond = abs(difference.value) > BAR * difference.error
    if same:
        return "reversed" if beyond else "holds"
    if not beyond:
        return "within error"
    return "holds" if difference.value > 0 else "reversed"


def judge_all(found: Found) -> list[Judged]:
    return [judge(claim, found) for claim in CLAIMS]


def cells_table(found: Found) -> Table:
    rows = [
        (
            *cell,
            str(len(seeds)),
            *(
                number(estimate([scores[metric] for scores in seeds.values() if metric in scores]))
                for metric in METRICS
            ),
        )
        for cell, seeds in found.items()
    ]
    return Table("Ablations", ("variant", "asked for", "seeds", *METRICS.values()), rows)


def claims_table(judged: Sequence[Judged]) -> Table:
    rows = [
        (
            each.claim.text,
            METRICS[each.claim.metric],
            "-" if each.claim.paper is None else f"{each.claim.paper:+.3f}",
            "-" if each.difference is None else number(each.difference),
            _said(each),
        )
        for each in judged
    ]
    return Table("Claims", ("claim", "metric", "paper", "here", "verdict"), rows)


def _said(each: Judged) -> str:
    return "they differ" if each.claim.same and each.verdict == "reversed" else each.verdict


def to_markdown(found: Found, judged: Sequence[Judged], about: str) -> str:
    """Both tables, to be pasted into a document."""
    tables = [line for table in (cells_table(found), claims_table(judged)) for line in ("", *markdown_lines(table))]
    return "\n".join((about, *tables)) + "\n"


def to_json(found: Found, judged: Sequence[Judged], about: str) -> str:
    """Every figure with its error and its value per seed; null where there is none."""
    cells = [
        {
            "variant": variant,
            "asked": asked,
            "seeds": list(seeds),
            "means": {
                metric: asdict(estimate([scores[metric] for scores in seeds.values() if metric in scores]))
                for metric in METRICS
            },
        }
        for (variant, asked), seeds in found.items()
    ]
    claims = [{**asdict(each.claim), "difference": each.difference and asdict(each.difference)} for each in judged]
    verdicts = [{**claim, "verdict": each.verdict} for claim, each in zip(claims, judged, strict=True)]
    return json.dumps(finite({"about": about, "cells": cells, "claims": verdicts}), indent=1, allow_nan=False)
