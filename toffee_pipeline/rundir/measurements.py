"""measurements.json: what the stages of a config cost on one device, and the config with these figures in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.rundir.pass_rates import read_pass_rates
from toffee_pipeline.rundir.run_file import Number, Part, RunFile, Seconds, decode

GiB = Annotated[float, Field(ge=0, le=1e6)]


class StageMeasurement(Part):
    """One stage over some planned pairs of which none is rejected before it.

    rows: samples that it computed. seconds: for all of them, warm. outside_s: of these, those in which no network
    computed: coding, resizing, noise, schedulers. batch_size: the micro-batch. peak_memory_gib: of the device (on a CPU
    of the whole process), weights included. largest_batch_size: of the micro-batches that were tried, the largest that
    fits. weights_gib: of each role that it loads.
    """

    rows: Number
    seconds: Seconds
    outside_s: Seconds
    batch_size: Number
    peak_memory_gib: GiB
    largest_batch_size: Number
    weights_gib: dict[str, GiB]

    @property
    def seconds_per_row(self) -> float:
        return self.seconds / self.rows if self.rows else 0.0

    @property
    def outside_fraction(self) -> float:
        return self.outside_s / self.seconds if self.seconds else 0.0


class Measurements(RunFile):
    """device: its name. on_gpu: else the memory is a CPU's. num_pairs: planned pairs that went through the stages.
    config: under which they were measured."""

    device: str
    on_gpu: bool
    num_pairs: Annotated[Number, Field(gt=0)]
    config: RunConfig
    stages: dict[str, StageMeasurement]

    def seconds_per_pair(self) -> dict[str, float]:
        """Of each stage, per pair that reaches it: the c_i of the closed form (`plan.costs`)."""
        return {name: stage.seconds / self.num_pairs for name, stage in self.stages.items()}

    def fused_memory_gib(self, same_weights: Mapping[str, frozenset[str]]) -> float:
        """Of an actor that holds the weights of all stages while one computes.

        same_weights: of each role the sets of weights behind it. A role whose sets another one has too shares its
        memory, as subjects and drafts share SDXL.
        """
        roles = {role: size for stage in self.stages.values() for role, size in stage.weights_gib.items()}
        shared = {
            role
            for role in roles
            for other in roles
            if role != other and same_weights[role] and same_weights[role] < same_weights[other]
        }
        weights = sum(size for role, size in roles.items() if role not in shared)
        working = (stage.peak_memory_gib - sum(stage.weights_gib.values()) for stage in self.stages.values())
        return weights + max(0.0, *working)


def read_measurements(path: Path) -> Measurements:
    """What jobs/measure.py wrote. Raises ConfigError where there is no such file; else as `decode`."""
    try:
        data = read_plain(path)
    except FileNotFoundError as error:
        raise ConfigError(f"measurements={path}: no such file; jobs/measure.py writes it") from error
    return decode(Measurements, data, str(path))


def with_measurements(config: RunConfig, same_weights: Mapping[str, frozenset[str]]) -> RunConfig:
    """The config with what was measured in the place of its profile's figures: seconds per planned pair, under its pass
    rates, and GPU memory. The config as it is where it names no measurements.

    Raises ConfigError and as `read_pass_rates`.
    """
    if config.measurements is None:
        return config
    found = read_measurements(config.measurements)
    costs = found.seconds_per_pair()
    if missing := [name for name in config.model_stages if name not in costs]:
        raise ConfigError(f"measurements={config.measurements}: nothing of the stages {', '.join(missing)}")
    rates = read_pass_rates(config)
    reached = 1.0
    for name in config.model_stages:
        changes = {"seconds_per_pair": costs[name] * reached}
        if found.on_gpu:
            changes["gpu_memory_gib"] = math.ceil(found.stages[name].peak_memory_gib)
        config = config.with_stage(name, **changes)
        reached *= rates.of(name)
    if found.on_gpu:
        fused = config.fused.model_copy(update={"gpu_memory_gib": math.ceil(found.fused_memory_gib(same_weights))})
        config = config.model_copy(update={"fused": fused})
    return config


def other_settings(config: RunConfig, found: Measurements) -> Iterator[str]:
    """Settings that change a stage's cost and are not those under which it was measured: not weights, thresholds and
    bounds."""
    for key in differing_content(found.config, config):
        name = key.rpartition(".")[2]
        free = name.startswith(("min_", "max_")) or name.endswith("threshold") or name == "weights"
        if key.startswith(("size_px", "stages.", "models.")) and not free:
            yield key
