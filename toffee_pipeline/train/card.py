"""The model card: what a folder of trained weights is, where it comes from, and how to load it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.train import SourceConfig, TrainingConfig, WorldSource
from toffee_pipeline.models.dino import pixel_statistics
from toffee_pipeline.models.tiny.architectures import LATENT_CHANNELS, PATCH_PX
from toffee_pipeline.templates import load_template
from toffee_pipeline.train.about import ABOUT, About

CARD = "README.md"
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
DINO_SOURCES = {"nano": '"toffee_pipeline/nano/weights/dino"', "untrained": '"path/to/dino"'}
"""What stands for a DINO that is not published: nano's lies in this project's repository."""


def write_card(folder: Path, job: str, config: TrainingConfig, facts: dict[str, Any]) -> None:
    """Writes `README.md`, a Hugging Face model card, beside the weights in `folder`.

    Args:
        folder: holds the trained weights as `*.safetensors`, also in folders below. Where it has a `model_index.json`,
            the card shows code of stock libraries alone.
        job: one of `ABOUT`.
        facts: `steps` and `samples_seen`, int; `loss`, float, of the last step, where it is known. Others are ignored.

    Raises:
        ValueError: an unknown job, a missing fact, or no weights in the folder.
    """
    if job not in ABOUT:
        raise ValueError(f"model card: job {job!r}: allowed are {', '.join(ABOUT)}")
    if missing := {"steps", "samples_seen"} - facts.keys():
        raise ValueError(f"model card: facts lack {', '.join(sorted(missing))}")
    files = list(_files(folder))
    if not files:
        raise ValueError(f"model card: {folder} holds no *.safetensors")
    about, base, dino = ABOUT[job], config.models.base, config.models.dino
    specs = {role: spec for role, spec in config.models if isinstance(spec, ModelSpec)}
    miniature = (config.models.vae or base).weights != "pretrained"
    text = load_template(TEMPLATE).render(
        about=about,
        miniatures=[f"{role} is {spec.weights}" for role, spec in specs.items() if spec.weights != "pretrained"],
        renders=all(source.format == "world" for source in config.data.sources),
        stock=(folder / "model_index.json").exists(),
        nano={"latent_channels": LATENT_CHANNELS, "vae_scale_factor": PATCH_PX} if miniature else None,
        dino_source=_dino_source(dino),
        pixel_statistics=pixel_statistics(dino),
        config=config,
        base=_name(base),
        dino=_name(dino),
        steps=f"{facts['steps']:,}",
        samples_seen=f"{facts['samples_seen']:,}",
        loss=f"{facts['loss']:.4g}" if "loss" in facts else None,
        weights="exponential moving average" if config.train.ema_decay else "of the last step",
        code=code_version(),
        sources=[_source(source) for source in config.data.sources],
        license=_license(base),
        files=files,
        settings=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
    ModelCard(f"---\n{_metadata(about, base).to_yaml()}\n---\n{text}").save(folder / CARD)


def _metadata(about: About, base: ModelSpec) -> ModelCardData:
    derived = base.weights == "pretrained"
    return ModelCardData(
        license="other" if derived else "apache-2.0",
        license_name="license-of-the-base-model" if derived else None,
        library_name="diffusers",
        tags=["toffee", "subject-driven-generation", "dinov2", *about.tags],
        base_model=base.id if derived and base.path is None else None,
    )


def _license(base: ModelSpec) -> str:
    if base.weights != "pretrained":
        return "Apache 2.0, as the code."
    return "that of the base, from which these weights derive. The training data may have terms of its own."


def _name(spec: ModelSpec) -> str:
    if spec.weights != "pretrained":
        return spec.weights
    if spec.path is not None:
        return f"`{spec.path}`"
    return f"`{spec.id}`" + (f" at revision `{spec.revision}`" if spec.revision else "")


def _dino_source(dino: ModelSpec) -> str:
    """Python arguments of `from_pretrained`."""
    if dino.weights != "pretrained":
        return DINO_SOURCES[dino.weights]
    if dino.path is not None:
        return f'"{dino.path}"'
    return f'"{dino.id}"' + (f', revision="{dino.revision}"' if dino.revision else "")


def _source(source: SourceConfig) -> str:
    if isinstance(source, WorldSource):
        return f"world: {source.num_subjects:,} subjects of the small world, {source.views_per_subject} views each"
    return f"{source.format}: `{source.path}`"


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield {"name": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": digest}


def code_version(here: Path = Path(__file__)) -> str:
    """The package's version, with the git commit where `here`, a file, is tracked by git."""
    text = f"toffee-pipeline {version('toffee-pipeline')}"
    try:
        # A virtual environment may lie inside some other project's checkout: that commit says nothing of this code.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return f"{text}, commit {_git(here.parent, 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*')}"
    except (OSError, subprocess.SubprocessError):
        return text


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
