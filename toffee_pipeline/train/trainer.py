"""A network in training: parallel wrapper, optimizer, moving average, and their state."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from toffee_pipeline.config.train import OptimizationConfig
from toffee_pipeline.errors import NotFinite
from toffee_pipeline.models.loading import computes_bfloat16
from toffee_pipeline.train.data.examples import Block

GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True)


def learning_rate(step: int, train: OptimizationConfig) -> float:
    """Of the update that follows `step` finished ones: linear warm-up, then constant or half a cosine."""
    if step < train.warmup_steps:
        return train.learning_rate * (step + 1) / train.warmup_steps
    if train.lr_scheduler == "constant":
        return train.learning_rate
    progress = (step - train.warmup_steps) / max(1, train.max_steps - train.warmup_steps)
    return train.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def noise_seed(seed: int, step: int, micro_batch: int) -> int:
    """Seed of a micro-batch's noise, timesteps and dropout: resuming needs no random state but the step.

    micro_batch: its number among those of all workers, so that the same samples give the same step however many
    workers share them.
    """
    return int(np.random.default_rng([seed, step, micro_batch]).integers(2**63 - 1))


class Trainable(Protocol):
    """A network and its loss: what a trainer needs of a task."""

    def build(self) -> nn.Module:
        """The network where training starts: float32, on the CPU."""

    def loss(self, network: nn.Module, rows: Block, generator: torch.Generator) -> Tensor:
        """Mean loss of some rows, ()."""


MAX_ABOUT_BYTES = 64 * 2**20


class Trainer:
    """One worker's share of a training.

    Args:
        seed: of noise and timesteps; see `noise_seed`.
        fsdp: shard weights, gradients and optimizer over the workers, where there are several.

    Attributes:
        network: the plain network (its parameters are sharded under FSDP).
        step: finished optimizer steps.
        figures: of the last of them.
    """

    def __init__(
        self,
        task: Trainable,
        train: OptimizationConfig,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        *,
        seed: int = 0,
        fsdp: bool = False,
    ) -> None:
        self.task, self.train, self.device, self.rank, self.world, self.seed = task, train, device, rank, world, seed
        self.network = task.build().to(device)
        if device.type == "cpu":
            use_unfused_attention(self.network)
        if train.gradient_checkpointing:
            self.network.enable_gradient_checkpointing()  # type: ignore[operator]
        self.bfloat16 = train.precision == "bf16" or (train.precision == "auto" and computes_bfloat16(device))
        self.sharded = fsdp and dist.is_initialized()
        self.parallel: nn.Module = self.network
        if self.sharded:
            _shard(self.network, self.bfloat16)
        elif world > 1:
            self.parallel = DistributedDataParallel(
                self.network, device_ids=[device.index] if device.type == "cuda" else None, gradient_as_bucket_view=True
            )
        if train.compile:
            compile_blocks(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=train.learning_rate,
            betas=(0.9, train.adam_beta2),
            weight_decay=train.weight_decay,
            fused=device.type == "cuda",  # no copies of all gradients on the way
        )
        self.ema = EMAModel(self.network.parameters(), decay=train.ema_decay)
        self.step = 0
        self.figures: dict[str, float] = {}

    def update(self, micro_batches: list[Block]) -> dict[str, float]:
        """One optimizer step over this worker's accumulated share. Returns loss (of it), grad_norm (of all) and lr.

        Raises NotFinite, on every worker alike, before any weight changes.
        """
        total = torch.zeros((), device=self.device)
        for index, rows in enumerate(micro_batches):
            number = self.rank * len(micro_batches) + index
            generator = torch.Generator().manual_seed(noise_seed(self.seed, self.step, number))
            with self._syncing(index + 1 == len(micro_batches)), self.autocast():
                loss = self.task.loss(self.parallel, rows, generator) / len(micro_batches)
                loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.train.max_grad_norm)
        grad_norm = (norm.full_tensor() if hasattr(norm, "full_tensor") else norm).item()
        if not math.isfinite(grad_norm):
            raise NotFinite(f"the gradient of step {self.step + 1} is {grad_norm} (loss {total.item():.4g})")
        lr = learning_rate(self.step, self.train)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.train.ema_decay:
            self.ema.step(self.network.parameters())
        self.step += 1
        return {"loss": total.item(), "grad_norm": grad_norm, "lr": lr}

    def autocast(self) -> Any:
        """bfloat16 where configured and, under auto, where the device computes in it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _syncing(self, last: bool) -> Any:
        """Gradients travel between workers once per step, with its last micro-batch."""
        if self.sharded:
            assert isinstance(self.network, FSDPModule)
            self.network.set_requires_gradient_sync(last)
        elif isinstance(self.parallel, DistributedDataParallel) and not last:
            return self.parallel.no_sync()
        return nullcontext()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has the averaged weights and is in eval mode.

        It runs uncompiled: each batch size of the samples would cost a compilation of its own.
        """
        averaging = self.train.ema_decay > 0
        if averaging:
            self.ema.store(self.network.parameters())
            self.ema.copy_to(self.network.parameters())
        self.network.eval()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            for module in self.network.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()  # a forward pass without a backward pass leaves the root's weights gathered
            if averaging:
                self.ema.restore(self.network.parameters())
            self.network.train()

    def weights(self) -> dict[str, Tensor]:
        """Full weights on the CPU: on rank 0; under FSDP the other ranks take part and get nothing."""
        return self._copied(get_model_state_dict(self.network, options=GATHER))

    def state(self) -> dict[str, dict[str, Any]]:
        """Everything that a checkpoint needs but step and data positions: weights, average, optimizer, figures."""
        state: dict[str, dict[str, Any]] = {"network": self.weights(), "figures": self.figures}
        with self.averaged():
            state["average"] = self.weights()
        state["optimizer"] = self._copied(get_optimizer_state_dict(self.network, self.optimizer, options=GATHER))
        return state

    def _copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """On the CPU torch hands out the live tensors, which the next step would change."""
        return copy.deepcopy(state) if self.device.type == "cpu" else state

    @property
    def max_part_bytes(self) -> int:
        """Of a part of its checkpoint: the optimizer has two moments of each weight, and a file says what it holds."""
        tensors = (*self.network.parameters(), *self.network.buffers())
        return 2 * sum(tensor.numel() * tensor.element_size() for tensor in tensors) + MAX_ABOUT_BYTES

    def load(self, state: dict[str, dict[str, Any]], step: int) -> None:
        """Goes on from what `state` gave rank 0; the other ranks take part with empty dicts."""
        whole = StateDictOptions(full_state_dict=True, broadcast_from_rank0=self.world > 1)
        set_model_state_dict(self.network, state["average"], options=whole)
        self.ema = EMAModel(self.network.parameters(), decay=self.train.ema_decay)
        self.ema.optimization_step = step
        set_model_state_dict(self.network, state["network"], options=whole)
        set_optimizer_state_dict(self.network, self.optimizer, state["optimizer"], options=whole)
        self.step, self.figures = step, state["figures"]


def use_unfused_attention(network: nn.Module) -> None:
    """On the CPU the backward pass of torch's fused attention takes longer than the plain products of small images."""
    for module in network.modules():
        if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0:
            module.set_processor(AttnProcessor())


def compile_blocks(network: nn.Module) -> None:
    """Compiles the transformer blocks alone, where most of the work is: those of one width share a graph, so that it
    takes seconds where the whole network takes minutes. Fixed shapes: a width is no reason for a dynamic graph."""
    for module in network.modules():
        if isinstance(module, BasicTransformerBlock):
            module.compile(dynamic=False)


def _shard(network: nn.Module, bfloat16: bool) -> None:
    """FSDP2 over every residual and transformer block, gathered in bfloat16 and reduced in float32."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16 if bfloat16 else None, reduce_dtype=torch.float32)
    for module in network.modules():
        if isinstance(module, (BasicTransformerBlock, ResnetBlock2D)):
            fully_shard(module, mp_policy=policy)
    fully_shard(network, mp_policy=policy)
