"""A run of pairs without models whose scores differ from pair to pair, by their seeds alone."""

from __future__ import annotations

import numpy as np

from actors.shard import Shard
from actors.stages.judge import Judge
from jobs.generate import generate
from tests.helpers.stub_stages import Paint
from toffee_pipeline.config.load import load_config

SMALL = (
    "placement=inline",
    "pairs.count=48",
    "pairs.per_subject=6",
    "subjects_per_shard=2",
    "pairs.edit_fraction=0.5",
    "pairs.edit_categories={addition: 1, removal: 1, color: 1}",
    "stages.judge.min_dino=0.5",
    "stages.judge.min_clip=0.3",
    "stages.judge.min_clip_gain=null",
    "output.report_every_s=0",
)


class Scored(Paint):
    """Pairs of noise with scores of their own."""

    def process(self, shard: Shard) -> None:
        super().process(shard)
        for state in shard.open_pairs():
            dino, clip = np.random.default_rng(state.pair.seed).random(2, dtype=np.float32)
            state.scores = {"dino": float(dino), "clip": float(clip)}


def write_run(output, *overrides):
    """Writes it, and returns its path as text."""
    config = load_config("nano", (*SMALL, *overrides))
    generate(config, str(output), stages={stage.name: stage for stage in (Scored, Judge)})
    return str(output)
