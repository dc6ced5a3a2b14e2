"""Where weights come from: a hub id, a local path, the package's nano networks, or seeded random numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download

from toffee_pipeline.config import ModelSpec

NANO_WEIGHTS = Path(__file__).parent.parent / "nano" / "weights"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of this name; auto takes CUDA where there is one.

    The index stays 0: Ray shows an actor its own GPUs only. Raises RuntimeError if CUDA is asked for in vain.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("device=cuda, but torch sees no GPU here")
    return torch.device("cuda", 0)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster there than float32: a CPU without instructions for it takes six times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def dtype_of(spec: ModelSpec) -> torch.dtype:
    """The torch dtype to compute in."""
    return DTYPES[spec.dtype]


def resolve(spec: ModelSpec, network: str) -> Path | str:
    """The local path or hub id that `from_pretrained` should read.

    Args:
        network: name of the folder below `nano/weights`, for spec.weights=nano.

    Raises:
        FileNotFoundError: the path, or the nano network, does not exist.
        ValueError: untrained weights, which no file holds.
    """
    if spec.weights == "untrained":
        raise ValueError(f"{network}: untrained weights are built, not read")
    if spec.weights == "nano":
        folder = NANO_WEIGHTS / network
        if not folder.is_dir():
            there = ", ".join(sorted(path.name for path in NANO_WEIGHTS.glob("*/"))) or "none"
            raise FileNotFoundError(f"no nano weights of {network!r}; there are: {there}")
        return folder
    if spec.path is None:
        assert spec.id is not None  # ModelSpec sees to it
        return spec.id
    if not spec.path.exists():
        raise FileNotFoundError(f"{network}: no such file or folder: {spec.path}")
    return spec.path


def hub_options(spec: ModelSpec) -> dict[str, Any]:
    """Keyword arguments of every `from_pretrained`: revision and variant of a hub id; nothing is fetched for a path."""
    if spec.weights == "nano":
        return {"local_files_only": True}
    variant = {"variant": spec.variant} if spec.variant else {}
    return variant | ({"local_files_only": True} if spec.path else {"revision": spec.revision})


def config_options(spec: ModelSpec) -> dict[str, Any]:
    """`hub_options` for what is no weights, so has no variant: configs, schedulers, tokenizers."""
    return {key: value for key, value in hub_options(spec).items() if key != "variant"}


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
        network: its name among the nano weights and the untrained builders.
        subfolder: of a pipeline folder, for pretrained weights only.
        dtype: instead of the one in `spec`.
    """
    if spec.weights == "untrained":
        return build_untrained(network).to(device)
    options = hub_options(spec) | ({"subfolder": subfolder} if subfolder and spec.weights == "pretrained" else {})
    model = model_class.from_pretrained(resolve(spec, network), dtype=dtype or dtype_of(spec), **options)
    return model.eval().to(device)


def build_untrained(network: str) -> Any:
    """The tiny network of this name (or its tuple with a processor, or its pipeline), on the CPU in float32.

    Its random weights are seeded: the same in every process.
    """
    from toffee_pipeline.nano import untrained

    return untrained.build(network)


def weights_hash(spec: ModelSpec, network: str) -> str | None:
    """First 16 hex digits of the SHA-256 over the files of a local or nano network; None for a hub id or untrained.

    A folder's `*.safetensors` count, with their relative paths, in the order of these.
    """
    if spec.weights == "untrained" or (spec.weights == "pretrained" and spec.path is None):
        return None
    source = Path(resolve(spec, network))
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*.safetensors")) if source.is_dir() else [source]:
        digest.update(path.relative_to(source).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def describe_weights(spec: ModelSpec, network: str) -> str:
    """One set of weights in words, with what identifies it."""
    if spec.weights == "untrained":
        return "untrained (random weights)"
    if spec.weights == "nano":
        return f"nano weights {weights_hash(spec, network)}"
    if spec.path is not None:
        return f"pretrained {spec.path.name} {weights_hash(spec, network)}"
    return f"pretrained {spec.id}@{spec.revision or 'main'}"
