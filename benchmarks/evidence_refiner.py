"""Draft, refined picture and oracle of the same generation pairs, under several settings of the Refiner.

The oracle is the draft's scene with the pair's own subject in it: what a perfect Refiner would paint. Only the renderer
knows it, so here the renderer plays subject, mask, depth and draft.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass

import click
import numpy as np
import torch

from actors.chain import STAGE_CLASSES, StageChain
from actors.guard import NoGuard
from actors.shard import Shard, present
from actors.stages.refine import Refine
from toffee_pipeline.config.base import Category
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.evaluation.judge import PICTURES, Judge, Scored
from toffee_pipeline.images import decode
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.nano.renderer import changed
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

FORCED = (
    "subjects.source=renderer",
    "subjects.catalog=nano",
    "renderer_plays=[subject,mask,depth,draft,view]",
    "pairs.edit_fraction=0",
    "pairs.per_subject=1",
    "subjects_per_shard=8",
)
"""The renderer knows the truth, and each pair has a subject of its own."""
SWEEPS: Mapping[str, tuple[float, ...]] = {
    "a": (0.0, 0.5, 1.0),
    "g": (0.5, 0.7, 0.9),
    "strength": (0.6, 0.8, 1.0),
    "matching_radius": (0, 1, 2, 4),
}
"""Keys of `refine` and their values; the profile's own value joins them where it is another."""
ORACLE_CATEGORIES: tuple[Category, ...] = ("background", "style")
"""Changes that leave the subject what it is."""
NUM_EXAMPLES = 8


@dataclass(frozen=True)
class Example:
    """A pair to look at. images: uint8 (H, W, 3), the subject and PICTURES."""

    prompt: str
    category: Category
    images: dict[str, np.ndarray]


def renderer_config(num_pairs: int, overrides: tuple[str, ...] = ()) -> RunConfig:
    """The nano profile with the renderer in every role that it can play; `overrides` have the last word.

    With `renderer_plays=[subject,mask,depth,view]` the drafts are the ControlNet's.

    Raises click.UsageError where the subjects are not the renderer's.
    """
    config = load_config("nano", (*FORCED, f"pairs.count={num_pairs}", *overrides))
    if config.subjects.source != "renderer":
        raise click.UsageError(f"subjects.source={config.subjects.source}: only the renderer knows the oracle")
    return config


def counted_categories(config: RunConfig) -> tuple[Category, ...]:
    """Those with an oracle whose mix takes anything from the subject."""
    refine = config.stages.refine
    return tuple(name for name in ORACLE_CATEGORIES if refine.a_of(name) > 0)


def settings(config: RunConfig, sweeps: Mapping[str, tuple[float, ...]]) -> dict[str, dict[float, str]]:
    """Key of `refine` -> value -> name of its picture, which is "refined" for the profile's own value."""
    own = {key: getattr(config.stages.refine, key) for key in sweeps}
    return {
        key: {value: "refined" if value == own[key] else f"{key}={value}" for value in sorted({*values, own[key]})}
        for key, values in sweeps.items()
    }


def oracle(pair: Pair, subject: Subject, size_px: int) -> np.ndarray:
    """uint8 (size_px, size_px, 3): the subject's own scene with the pair's change."""
    return changed(pair, subject).render(size_px).rgb


def measure(
    config: RunConfig, num_seeds: int, sweeps: Mapping[str, tuple[float, ...]] = SWEEPS
) -> tuple[list[Scored], list[Example]]:
    """Scores of every picture of every counted pair of each seed's plan, and some pairs to look at.

    A pair that fails under one setting is left out of all.
    """
    torch.set_num_threads(1)  # as in an actor
    configs = {"refined": config} | {
        name: config.with_stage("refine", **{key: value})
        for key, names in settings(config, sweeps).items()
        for value, name in names.items()
        if name != "refined"
    }
    first = [STAGE_CLASSES[name] for name in ("synthesize", "segment", "depth", "draft")]
    draw = StageChain(config, first, _ignore, NoGuard())
    refiners = {name: StageChain(changed, [Refine], _ignore, NoGuard()) for name, changed in configs.items()}
    models, categories = ModelSet(config), counted_categories(config)
    rows: list[Scored] = []
    examples: list[Example] = []
    for seed in range(num_seeds):
        began, plan = time.monotonic(), Plan(config.model_copy(update={"seed": seed}))
        for index in range(len(plan)):
            shard = Shard.from_plan(plan, index)
            shard.pairs = [state for state in shard.pairs if state.pair.category in categories]
            shard = draw(shard)
            refined = {name: _targets(refine(copy.deepcopy(shard))) for name, refine in refiners.items()}
            shown = NUM_EXAMPLES - len(examples)
            new_rows, new_examples = _judge(shard, refined, models, seed)
            rows += new_rows
            examples += new_examples[:shown]
        click.echo(f"draft against refined, seed {seed}: {time.monotonic() - began:.0f} s", err=True)
    if not rows:
        raise click.ClickException(f"no pair of {', '.join(categories)} came through: nothing to compare")
    return rows, examples


def _judge(
    shard: Shard, refined: Mapping[str, Mapping[str, np.ndarray]], models: ModelSet, seed: int
) -> tuple[list[Scored], list[Example]]:
    states = [
        state for state in shard.open_pairs() if all(state.pair.pair_id in targets for targets in refined.values())
    ]
    if not states:
        return [], []
    subjects = [shard.subject_of(state) for state in states]
    pairs = [state.pair for state in states]
    images = [state.rgb() for state in subjects]
    oracles = [
        oracle(pair, state.subject, image.shape[0]) for pair, state, image in zip(pairs, subjects, images, strict=True)
    ]
    judge = Judge(
        models, images, oracles, [present(state.bool_mask()) for state in subjects], [pair.prompt for pair in pairs]
    )
    pictures = {
        "draft": [state.draft_rgb() for state in states],
        "oracle": oracles,
        **{name: [targets[pair.pair_id] for pair in pairs] for name, targets in refined.items()},
    }
    rows = [
        Scored(seed, pair.category, name, scores)
        for name, shown in pictures.items()
        for pair, scores in zip(pairs, judge.scores(shown), strict=True)
    ]
    examples = [
        Example(pair.prompt, pair.category, {"subject": images[i], **{name: pictures[name][i] for name in PICTURES}})
        for i, pair in enumerate(pairs)
    ]
    return rows, examples


def _targets(shard: Shard) -> dict[str, np.ndarray]:
    """Pair id -> target, uint8 (H, W, 3)."""
    return {state.pair.pair_id: decode(present(state.target)) for state in shard.open_pairs()}


def _ignore(stage: str, rows: int, seconds: float) -> None:
    """Progress of single micro-batches is of no use here."""
