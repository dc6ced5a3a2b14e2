"""Edit pairs under several strengths and ControlNet scales of their drafts, against the truth that is known here."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np
import torch

from actors.chain import STAGE_CLASSES, StageChain
from actors.guard import NoGuard
from actors.shard import PairState, Shard, present
from toffee_pipeline.config.base import CATEGORIES, Category
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.evaluation.estimate import Estimate, ratio
from toffee_pipeline.images import decode
from toffee_pipeline.nano.renderer import changed
from toffee_pipeline.plan.plan import Plan

FORCED = (
    "placement=inline",
    "subjects.source=renderer",
    "subjects.catalog=nano",
    "pairs.edit_fraction=1",
    "pairs.per_subject=1",
    "pairs.removal=repaint",
    "subjects_per_shard=8",
)
"""Every category has a draft of its own, and each pair a subject of its own."""
STRENGTHS: tuple[float, ...] = (0.5, 0.7, 0.9, 1.0)
SCALES: tuple[float, ...] = (0.3, 1.0)
SCORES = ("error", "dino", "clip", "accepted")


@dataclass(frozen=True)
class EditGroup:
    """Figures of the pairs of one category under one setting.

    error: mean absolute difference to the truth inside the editing mask, in grey levels, 0..255. dino, clip: of the
    filter. accepted: share of the pairs that got so far. is_profile: whether the profile has this setting.
    """

    category: Category
    strength: float
    scale: float
    is_profile: bool
    num_pairs: int
    means: dict[str, Estimate]


def measure(
    num_pairs: int,
    num_seeds: int,
    overrides: tuple[str, ...] = (),
    strengths: Sequence[float] = STRENGTHS,
    scales: Sequence[float] = SCALES,
) -> list[EditGroup]:
    """Each category under each setting. num_pairs: per seed."""
    torch.set_num_threads(1)  # as in an actor
    config = load_config("nano", (*FORCED, f"pairs.count={num_pairs}", *overrides))
    first = StageChain(config, [STAGE_CLASSES[name] for name in ("synthesize", "segment", "depth")], _ignore, NoGuard())
    plans = [Plan(config.model_copy(update={"seed": seed})) for seed in range(num_seeds)]
    shards = [
        (seed, first(Shard.from_plan(plan, index))) for seed, plan in enumerate(plans) for index in range(len(plan))
    ]
    groups = []
    for strength in strengths:
        for scale in scales:
            began = time.monotonic()
            groups += _groups(config, shards, num_seeds, strength, scale)
            click.echo(f"edits, strength {strength}, scale {scale}: {time.monotonic() - began:.0f} s", err=True)
    return sorted(groups, key=lambda group: (CATEGORIES.index(group.category), group.strength, group.scale))


def _groups(
    config: RunConfig, shards: Sequence[tuple[int, Shard]], num_seeds: int, strength: float, scale: float
) -> list[EditGroup]:
    """One setting of all categories."""
    every = dict.fromkeys(CATEGORIES, strength), dict.fromkeys(CATEGORIES, scale)
    settings = config.with_stage("draft", edit_strength=every[0], edit_controlnet_conditioning_scale=every[1])
    stages = [STAGE_CLASSES[name] for name in ("draft", "edit", "score", "judge")]
    paint = StageChain(settings, stages, _ignore, NoGuard())
    rows: list[tuple[int, Category, dict[str, float]]] = []
    for seed, shard in shards:
        done = paint(copy.deepcopy(shard))
        rows += [
            (seed, state.pair.category, _scores(done, state)) for state in done.pairs if state.target and state.scores
        ]
    own = config.stages.draft
    groups = []
    for category in CATEGORIES:
        chosen = [(seed, scores) for seed, name, scores in rows if name == category]
        counts = [sum(seed == number for seed, _ in chosen) for number in range(num_seeds)]
        means = {
            name: ratio(
                [sum(scores[name] for seed, scores in chosen if seed == number) for number in range(num_seeds)], counts
            )
            for name in SCORES
        }
        is_profile = (own.strength_of(category), own.scale_of(category)) == (strength, scale)
        if chosen:
            groups.append(EditGroup(category, strength, scale, is_profile, len(chosen), means))
    return groups


def _scores(shard: Shard, state: PairState) -> dict[str, float]:
    target, mask = decode(present(state.target)), present(state.bool_edit_mask())
    truth = changed(state.pair, shard.subject_of(state).subject).render(target.shape[0]).rgb
    return {
        "error": float(np.abs(target.astype(float) - truth)[mask].mean()),
        "dino": state.scores["dino"],
        "clip": state.scores["clip"],
        "accepted": float(state.status == "accepted"),
    }


def _ignore(stage: str, rows: int, seconds: float) -> None:
    """Progress of single micro-batches is of no use here."""
