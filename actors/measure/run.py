"""All stages of a config measured, one after the other, each in a process of its own: no memory of the last one
is left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from actors.chain import stages_of
from actors.measure.sample import first_shards
from actors.measure.with_parent import end_with_parent
from actors.shard_bytes import shard_to_bytes
from toffee_pipeline.config.base import Model, ModelSpec
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.safety import SafetensorsSpec
from toffee_pipeline.errors import RunError
from toffee_pipeline.models.roles import ROLES
from toffee_pipeline.rundir.measurements import Measurements, StageMeasurement

PRELOADED = ["actors.measure.stage", *(role.plays.split(":")[0] for role in ROLES.values())]
"""Imported once, by the process from which the others are forked."""


def with_random_weights(config: RunConfig) -> RunConfig:
    """Random weights of the published architectures in the place of pretrained ones. The aesthetic score's head, a dot
    product, is left out; every box counts as found, since a random detector is sure of none. Guards are anyone's, of no
    one architecture, and stay."""
    changes: dict[str, Model | None] = {
        name: spec.model_copy(update={"weights": "random"})
        for name, spec in config.models
        if isinstance(spec, ModelSpec) and spec.weights == "pretrained" and not isinstance(spec, SafetensorsSpec)
    }
    if "aesthetic" in changes:
        changes["aesthetic"] = None
    config = config.model_copy(update={"models": config.models.model_copy(update=changes)})
    if config.models.detector.weights != "random":
        return config
    return config.with_stage("segment", box_threshold=0.0, text_threshold=0.0)


def measure(
    config: RunConfig,
    num_pairs: int,
    most: int,
    show: Callable[[str, StageMeasurement], None] = lambda name, stage: None,
) -> Measurements:
    """The figures of every stage that computes with models.

    Args:
        num_pairs: of the plan's first ones.
        most: the largest micro-batch that is tried.
        show: gets each stage's figures when they are there.

    Raises RunError where no pair is left to measure, or a stage's process dies.
    """
    shards = first_shards(config, num_pairs)
    if not (measured := sum(len(shard.pairs) for shard in shards)):
        raise RunError(f"none of the plan's first {num_pairs} pairs can be measured by itself: take more")
    data, stages = [shard_to_bytes(shard) for shard in shards], {}
    for name in stages_of(config):
        if name not in config.model_stages:
            continue
        before = data
        found, data = apart(name, "measure_stage", config, name, before)
        if most > found.batch_size:
            largest = apart(name, "largest_batch_size", config, name, before, most)
            found = found.model_copy(update={"largest_batch_size": largest})
        stages[name] = found
        show(name, found)
    device, on_gpu = apart("the device", "device_name", config)
    return Measurements(device=device, on_gpu=on_gpu, num_pairs=measured, config=config, stages=stages)


def apart(what: str, function: str, *args: Any) -> Any:
    """A function of `actors.measure.stage` in a process of its own. what: is done there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        try:
            return pool.submit(_call, function, *args).result()
        except BrokenProcessPool as error:
            raise RunError(f"{what}: its process died, most likely for want of memory: lower its batch_size") from error


def _call(function: str, *args: Any) -> Any:
    from actors.measure import stage  # torch, which the job itself does without

    return getattr(stage, function)(*args)
