"""Loads weights: of a hub id, a local path, the package's nano networks, or seeded random numbers."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.weights import hub_options, load_pretrained, resolve

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of this name; auto takes CUDA where there is one.

    The index stays 0: Ray shows an actor its own GPUs only. Raises ConfigError if CUDA is asked for in vain.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch sees no GPU here; allowed are cpu and auto")
    return torch.device("cuda", 0)


def describe_device(device: torch.device) -> str:
    """The name of a GPU, or of a CPU its architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster there than float32: a CPU without instructions for it takes six times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def no_autocast(device: torch.device) -> torch.autocast:
    """Inside, networks compute in the dtype of their weights, also where a training step around it has autocast on."""
    return torch.autocast(device.type, enabled=False)


def dtype_of(spec: ModelSpec) -> torch.dtype:
    """The torch dtype to compute in."""
    return DTYPES[spec.dtype]


def local_folder(spec: ModelSpec, network: str) -> Path:
    """A folder on this machine that holds the weights; a hub id is downloaded into the cache first."""
    source = resolve(spec, network)
    return source if isinstance(source, Path) else Path(snapshot_download(source, revision=spec.revision))


def load_model(
    model_class: type[Any],
    spec: ModelSpec,
    network: str,
    device: torch.device,
    subfolder: str = "",
    dtype: torch.dtype | None = None,
) -> Any:
    """A diffusers or transformers model on its device, in eval mode.

    Args:
        network: its name among the nano weights and the builders.
        subfolder: of a pipeline folder, for pretrained weights only.
        dtype: instead of the one in `spec`.
    """
    if spec.weights == "untrained":
        return build_untrained(network).to(device)
    if spec.weights == "random":
        return build_random(network, device, dtype or dtype_of(spec))
    options = hub_options(spec) | ({"subfolder": subfolder} if subfolder and spec.weights == "pretrained" else {})
    model = load_pretrained(model_class, resolve(spec, network), dtype=dtype or dtype_of(spec), **options)
    return model.eval().to(device)


def build_untrained(network: str) -> Any:
    """The tiny network of this name (or its tuple with a processor, or its pipeline), on the CPU in float32.

    Its random weights are seeded: the same in every process.
    """
    from toffee_pipeline.models.tiny import untrained

    return untrained.build(network)


def build_random(network: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The published network of this name (or its tuple with a processor, or its pipeline); random weights, seeded."""
    from toffee_pipeline.models import random_weights

    return random_weights.build(network, device, dtype)
