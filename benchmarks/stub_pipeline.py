"""The sdxl profile's stages without models: each sleeps for the seconds that its profile names, or a fixed part of
them, and rejects a fixed share. For what is measured of scheduling: pools, actors, shards, nodes, tails.

The job around them is the real one: plan, Ray Data, guards, moving, writing, committing.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.chain import StageChain, stages_of
from actors.guard import NoGuard
from actors.measure.run import with_random_weights
from actors.shard import PairState, Shard, SubjectState
from actors.stage import Stage, StageTable
from actors.stages.judge import Judge
from benchmarks.stub_stage import fill_pair, fill_subjects
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.prompt_bank import load_prompts

NO_MASK, LOW = 0.1, 0.4
"""Shares of subjects whose edits the mask stage rejects, and of scored pairs with scores too low."""
SUBJECTS_PER_SHARD, PAIRS_PER_SHARD = 4, 16
SETTINGS = "STUB_PIPELINE"
BARRIER_S = 600.0


@dataclass(frozen=True)
class Settings:
    """Of the stubs, on their way to Ray's workers in the environment.

    scale: seconds of sleep per second of the profile. actors: that wait for each other in `folder` before the first
    shard. slow_gpu: the GPU, as Ray numbers them, on which all takes `slow_factor` times as long.
    """

    scale: float
    actors: int = 0
    folder: str = ""
    slow_gpu: int | None = None
    slow_factor: float = 1.0

    def encode(self) -> str:
        return json.dumps(asdict(self))

    def sleep(self, seconds: float) -> None:
        """seconds: of the profile."""
        slow = str(self.slow_gpu) == os.environ.get("CUDA_VISIBLE_DEVICES")  # Ray sets it, also where none is real
        if self.scale:
            time.sleep(seconds * self.scale * (self.slow_factor if slow else 1.0))


def settings() -> Settings:
    """Those of this process."""
    return Settings(**json.loads(os.environ.get(SETTINGS, '{"scale": 0}')))


def drawn(share: float, *words: str) -> bool:
    """Whether these words, such as a stage's and a pair's, fall into a share: always the same."""
    return zlib.crc32(" ".join(words).encode()) < share * 2**32


def rows_of(stage: str, shard: Shard) -> Sequence[SubjectState | PairState]:
    """What the stage computes."""
    if stage in ("synthesize", "segment", "depth"):
        return shard.open_subjects()
    if stage in ("refine", "view"):
        return shard.open_pairs("generation")
    if stage == "edit":
        return shard.pairs_to_paint("edit")
    return shard.pairs_to_paint() if stage == "draft" else shard.open_pairs()


def seconds_per_row(stage: str, config: RunConfig) -> float:
    """The profile's seconds are spread over all planned pairs, of which a stage computes its own."""
    seconds, pairs = config.stage(stage).seconds_per_pair, config.pairs
    if stage in ("synthesize", "segment", "depth"):
        return seconds * pairs.per_subject
    if stage in ("refine", "view"):
        return seconds / (1 - pairs.edit_fraction)
    return seconds / pairs.edit_fraction if stage == "edit" else seconds


class Sleeping(Stage):
    """A micro-batch takes its seconds however full it is, as a padded one does."""

    config: RunConfig

    def process(self, shard: Shard) -> None:
        seconds = seconds_per_row(self.name, self.config) * self.config.stage(self.name).batch_size

        def compute(batch: Sequence[Any]) -> Sequence[None]:
            settings().sleep(seconds)
            return [None] * len(batch)

        self.run(rows_of(self.name, shard), compute, lambda state, _: None)
        self.fill(shard)

    def fill(self, shard: Shard) -> None:
        """What the stage leaves behind."""


class First(Sleeping):
    """Waits until all actors are there, so that no figure has their start in it."""

    def load(self) -> None:
        if not settings().actors:
            return
        folder = Path(settings().folder)
        (folder / str(os.getpid())).touch()
        latest = time.monotonic() + BARRIER_S
        while len(list(folder.iterdir())) < settings().actors:
            if time.monotonic() > latest:
                raise RuntimeError(f"after {BARRIER_S:.0f} s not all of {settings().actors} actors are there")
            time.sleep(0.05)

    def fill(self, shard: Shard) -> None:
        fill_subjects(shard)


class Mask(Sleeping):
    def fill(self, shard: Shard) -> None:
        for state in shard.open_pairs("edit"):
            if drawn(NO_MASK, "mask", state.pair.subject_id):
                state.reject("no_mask")


class Scores(Sleeping):
    def fill(self, shard: Shard) -> None:
        for state in shard.open_pairs():
            fill_pair(state, 0.1 if drawn(LOW, "score", state.id) else 0.9)


SPECIAL: dict[str, type[Stage]] = {"synthesize": First, "segment": Mask, "score": Scores, "judge": Judge}


def stub_stages(config: RunConfig) -> StageTable:
    """In the place of the config's."""
    names = [name for name in stages_of(config) if name in config.model_stages or name == "judge"]
    return {name: type(name.title(), (SPECIAL.get(name, Sleeping),), {"name": name}) for name in names}


def stub_config(num_pairs: int, *overrides: str) -> RunConfig:
    """The sdxl profile, of which no weights are asked for; an actor takes little of the CPUs that Ray counts."""
    config = load_config(
        "sdxl",
        (f"pairs.count={num_pairs}", f"subjects_per_shard={SUBJECTS_PER_SHARD}", "fused.num_cpus=0.05", *overrides),
    )
    return with_random_weights(config)


def seconds_asked(config: RunConfig) -> list[dict[str, float]]:
    """Of each shard of the plan what its stages take by the profile, rejections and padding counted. Nothing sleeps."""
    plan, found = Plan(config, None, load_prompts(config)), []
    seconds: dict[str, float] = {}

    def progress(stage: str, rows: int, elapsed: float) -> None:
        seconds[stage] = seconds.get(stage, 0.0) + (seconds_per_row(stage, config) * config.stage(stage).batch_size)

    chain = StageChain(config, list(stub_stages(config).values()), progress, NoGuard())
    for index in range(len(plan)):
        seconds = {}
        chain(Shard.from_plan(plan, index))
        found.append(seconds)
    return found
