"""What the GPU benchmarks share: the published networks with random weights, a shard's inputs, the card.

`tiny` gives the untrained miniatures of the same classes instead, so that each benchmark runs on a CPU too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import click
import diffusers
import torch

from actors.guard import NoGuard
from actors.measure.run import with_random_weights
from actors.measure.sample import take_all_on
from actors.shard import Shard
from actors.stage import Stage, no_progress
from benchmarks.record import json_option
from toffee_pipeline.config.generate import ModelsConfig, RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.loading import pick_device
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.network_clock import now
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.prompt_bank import load_prompts


def run_config(
    tiny: bool, device: str, pairs: int, stages: Iterable[type[Stage]], steps: int, shards: int = 1
) -> RunConfig:
    """The sdxl profile for shards of generation pairs, with random weights; tiny: the miniatures at 64 px.

    pairs: of a shard; four to a subject.
    steps: of denoising, in each of these stages.
    """
    sizes = (f"pairs.count={pairs * shards}", "pairs.per_subject=4", f"subjects_per_shard={math.ceil(pairs / 4)}")
    counts = (*sizes, "pairs.edit_fraction=0", f"device={device}")
    overrides = tuple(f"stages.{stage.name}.sampling.num_inference_steps={steps}" for stage in stages)
    if not tiny:
        return with_random_weights(load_config("sdxl", (*counts, *overrides)))
    names = [name for name, field in ModelsConfig.model_fields.items() if field.is_required()]
    small = (f"models.{name}.{setting}" for name in names for setting in ("weights=untrained", "dtype=float32"))
    return load_config("sdxl", (*counts, "size_px=64", *small, *overrides))


def filled_shard(config: RunConfig, index: int = 0) -> Shard:
    """A shard of the plan whose subjects are there."""
    shard = Shard.from_plan(Plan(config, None, load_prompts(config)), index)
    for stage in ("synthesize", "segment", "depth"):
        take_all_on(shard, stage, config.size_px)
    return shard


def run_stage(stage_class: type[Stage], models: ModelSet, shard: Shard) -> float:
    """Seconds of one stage over the shard, until the device is done. Raises RuntimeError where a pair fails."""
    stage = stage_class(models.config, models, no_progress, NoGuard())
    began = now(models.device)
    stage(shard)
    elapsed = now(models.device) - began
    if errors := {state.error for state in shard.pairs if state.status != "ok"}:
        raise RuntimeError(f"{stage.name}: {'; '.join(map(str, errors))}")
    return elapsed


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """--device, --tiny and --json."""
    for option in (
        click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda", show_default=True),
        click.option("--tiny", is_flag=True, help="Miniatures of the networks at 64 px: to try the script, on a CPU."),
        json_option,
    ):
        command = option(command)
    return command


def set_up(device_name: str) -> torch.device:
    """The device, ready to be measured."""
    diffusers.utils.logging.set_verbosity_error()  # it warns of every cast
    device = pick_device("cuda" if device_name == "cuda" else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    return device
