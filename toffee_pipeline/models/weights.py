"""Where weights come from, and what identifies them. Knows no torch, so that a job's driver can say it at once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from toffee_pipeline.config.base import ModelSpec

NANO_WEIGHTS = Path(__file__).parent.parent / "nano" / "weights"


def resolve(spec: ModelSpec, network: str) -> Path | str:
    """The local path or hub id that `from_pretrained` should read.

    Args:
        network: name of the folder below `nano/weights`, for spec.weights=nano.

    Raises:
        FileNotFoundError: the path, or the nano network, does not exist.
        ValueError: untrained or random weights, which no file holds.
    """
    if not spec.has_files:
        raise ValueError(f"{network}: {spec.weights} weights are built, not read")
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


def weights_hash(spec: ModelSpec, network: str) -> str | None:
    """First 16 hex digits of the SHA-256 over the files of a local or nano network; None for a hub id and for
    weights that are made.

    A folder's `*.safetensors` count, or without any its pickles, with their relative paths, in the order of these.
    """
    if not spec.has_files or (spec.weights == "pretrained" and spec.path is None):
        return None
    source = Path(resolve(spec, network))
    digest = hashlib.sha256()
    for path in _weight_files(source) if source.is_dir() else [source]:
        digest.update(path.relative_to(source).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _weight_files(folder: Path) -> list[Path]:
    pickles = (path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pth"))
    return sorted(folder.rglob("*.safetensors")) or sorted(pickles)


def describe_weights(spec: ModelSpec, network: str) -> str:
    """One set of weights in words, with what identifies it."""
    if spec.weights == "untrained":
        return "untrained (random weights)"
    if spec.weights == "random":
        return "untrained (random weights of the published architecture)"
    if spec.weights == "nano":
        return f"nano weights {weights_hash(spec, network)}"
    if spec.path is not None:
        return f"pretrained {spec.path.name} {weights_hash(spec, network)}"
    return f"pretrained {spec.id}@{spec.revision or 'main'}"
