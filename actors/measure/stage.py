"""One stage measured, in a process that loads nothing else."""

from __future__ import annotations

from typing import Any, cast

from actors.chain import stages_of
from actors.guard import NoGuard
from actors.measure.sample import one_of_each, take_all_on
from actors.shard import Shard
from actors.shard_bytes import shard_from_bytes, shard_to_bytes
from actors.stage import Stage
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.loading import describe_device, pick_device
from toffee_pipeline.models.memory import GIB, memory_of
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.network_clock import NetworkClock, now
from toffee_pipeline.models.roles import has_weights
from toffee_pipeline.rundir.measurements import StageMeasurement

PROBED_STEPS = 2
"""Of denoising, where only memory is asked for."""


class LoadedStage:
    """A stage with its models. weights: bytes that each role took when it was loaded."""

    def __init__(self, config: RunConfig, name: str) -> None:
        import torch

        torch.set_num_threads(config.fused.num_threads)
        self.models = ModelSet(config)
        self.device = self.models.device
        self.memory = memory_of(self.device)
        self.rows = 0
        self.stage: Stage = stages_of(config)[name](config, self.models, self._progress, NoGuard())
        self.weights: dict[str, int] = {}
        for role in dict.fromkeys(self.stage.roles):
            if has_weights(role, config):
                before = self.memory.held_bytes()
                getattr(self.models, role)
                self.weights[role] = max(0, self.memory.held_bytes() - before)

    def _progress(self, stage: str, rows: int, seconds: float) -> None:
        self.rows += rows

    def run(self, shard: Shard) -> float:
        """Seconds."""
        began = now(self.device)
        self.stage(shard)
        return now(self.device) - began


def measure_stage(config: RunConfig, name: str, data: list[bytes]) -> tuple[StageMeasurement, list[bytes]]:
    """A stage over shards of open pairs, warm.

    Args:
        data: the shards as the stages before it leave them, by `shard_to_bytes`.

    Returns:
        The figures, and the shards for the next stage.
    """
    loaded = LoadedStage(config, name)
    loaded.stage.load()  # what is to be compiled
    clock, shards = NetworkClock(loaded.device), _shards(data)
    with clock.finding():
        loaded.run(one_of_each(_shards(data)))
    loaded.memory.restart()
    loaded.rows = 0
    with clock.running():
        seconds = sum(map(loaded.run, shards))
    for shard in shards:
        take_all_on(shard, name, config.size_px)
    batch_size = config.stage(name).batch_size
    found = StageMeasurement(
        rows=loaded.rows,
        seconds=seconds,
        outside_s=max(0.0, seconds - clock.seconds),
        batch_size=batch_size,
        peak_memory_gib=loaded.memory.peak_bytes() / GIB,
        largest_batch_size=batch_size,
        weights_gib={role: size / GIB for role, size in loaded.weights.items()},
    )
    return found, [shard_to_bytes(shard) for shard in shards]


def largest_batch_size(config: RunConfig, name: str, data: list[bytes], most: int) -> int:
    """The largest micro-batch of those that are tried (1, 2, 4 ... `most`, by `next_size`); 0 where none fits."""
    loaded = LoadedStage(_few_steps(config, name), name)
    memory = loaded.memory
    size: int | None = 1
    fits = 0
    while size is not None:
        memory.restart()
        idle = memory.held_bytes()
        loaded.stage.config = loaded.stage.config.with_stage(name, batch_size=size)
        loaded.run(one_of_each(_shards(data)))
        peak = memory.peak_bytes()
        if peak > memory.limit_bytes:
            break
        fits = size
        size = next_size(size, idle, peak, memory.limit_bytes, most)
    return fits


def next_size(size: int, idle_bytes: float, peak_bytes: float, limit_bytes: float, most: int) -> int | None:
    """The micro-batch to try after one of `size`, which fitted; None where no larger one surely does.

    What a micro-batch takes beyond the weights (`idle_bytes`) grows at most as its size does, so that a larger one's
    memory has a bound before it is tried.
    """
    bound = int(size * (limit_bytes - idle_bytes) / max(peak_bytes - idle_bytes, 1))
    larger = min(2 * size, bound, most)
    return larger if larger > size else None


def device_name(config: RunConfig) -> tuple[str, bool]:
    """What computes under this config, and whether it is a GPU."""
    device = pick_device(config.device)
    return describe_device(device), device.type == "cuda"


def _few_steps(config: RunConfig, name: str) -> RunConfig:
    sampling: Any = getattr(config.stage(name), "sampling", None)
    if name == "edit":  # paints with the Refiner
        name, sampling = "refine", config.stages.refine.sampling
    if sampling is None:
        return config
    return config.with_stage(name, sampling=sampling.model_copy(update={"num_inference_steps": PROBED_STEPS}))


def _shards(data: list[bytes]) -> list[Shard]:
    return [cast(Shard, shard_from_bytes(index, each)) for index, each in enumerate(data)]
