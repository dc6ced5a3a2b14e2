"""The model card: what a folder of trained weights is, where it comes from, and how to load it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from toffee_pipeline.config.generate import ModelSpec
from toffee_pipeline.config.train import SourceConfig, TrainingConfig, WorldSource

CARD = "README.md"
NANO_VAE_SCALE_FACTOR = 4


@dataclass(frozen=True)
class About:
    """What the card says of a network, whatever it was trained on."""

    title: str
    section: str
    text: str
    load: str
    rest: str
    """What else it takes to draw with it."""
    tags: tuple[str, ...]


TASKS = {
    "train_refiner": About(
        "Toffee Refiner",
        "section 3.1, Eq 1",
        "A UNet that draws an image from its DINO tokens, without text. The data pipeline uses it to bring a\n"
        "subject's details back into a draft: it noises the draft and denoises it under the mixed tokens of both.",
        "from pathlib import Path\n"
        "from toffee_pipeline.models.networks.refiner import RefinerNetwork\n"
        'network = RefinerNetwork.load(Path("{folder}"){scale})',
        "The VAE is not in this folder: it is the base's, or `models.vae` below. For `jobs/generate.py`:\n"
        "`--set models.refiner.path=FOLDER`.",
        ("image-to-image", "stable-diffusion-xl"),
    ),
    "train_view_generator": About(
        "Toffee View Generator",
        "section 3.2, Eq 4",
        "A Stable Diffusion pipeline that takes the DINO tokens of a subject's image in place of text, and draws\n"
        "the same subject from another view.",
        "from diffusers import StableDiffusionPipeline\n"
        "parts = dict(text_encoder=None, tokenizer=None, safety_checker=None, feature_extractor=None)\n"
        'pipeline = StableDiffusionPipeline.from_pretrained("{folder}", **parts)',
        "DINO tokens are its `prompt_embeds`. For `jobs/generate.py`: `--set models.view_generator.path=FOLDER`.",
        ("image-to-image", "stable-diffusion"),
    ),
    "train_toffeenet": About(
        "ToffeeNet",
        "section 3.4",
        "Stable Diffusion with a DINO cross-attention, an editing mask and a depth ControlNet: it draws the subject\n"
        "of one image as a text asks, or edits a region of it, without tuning per subject.",
        "from pathlib import Path\n"
        "from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork\n"
        'network = ToffeeNetNetwork.load(Path("{folder}"))',
        "Not in this folder: the VAE, which is the base's or `models.vae` below, and the base's text encoder and\n"
        "tokenizer.",
        ("text-to-image", "image-to-image", "stable-diffusion", "controlnet", "ip-adapter"),
    ),
}


def write_card(folder: Path, task: str, config: TrainingConfig, facts: dict[str, Any]) -> None:
    """Writes `README.md`, a Hugging Face model card, beside the weights in `folder`.

    Args:
        folder: holds the trained weights as `*.safetensors`, also in folders below.
        task: the job, one of `TASKS`.
        facts: `steps` and `samples_seen`, int; `loss`, float, of the last step, where it is known. Others are ignored.

    Raises:
        ValueError: an unknown task, a missing fact, or no weights in the folder.
    """
    if task not in TASKS:
        raise ValueError(f"model card: task {task!r}: allowed are {', '.join(TASKS)}")
    if missing := {"steps", "samples_seen"} - facts.keys():
        raise ValueError(f"model card: facts lack {', '.join(sorted(missing))}")
    files = list(_files(folder))
    if not files:
        raise ValueError(f"model card: {folder} holds no *.safetensors")
    about, base = TASKS[task], config.models.base
    specs = {role: spec for role, spec in config.models if isinstance(spec, ModelSpec)}
    miniature = (config.models.vae or base).weights != "pretrained"
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("model_card.md").render(
        header=yaml.safe_dump(_header(about, base), sort_keys=False),
        about=about,
        miniatures=[f"{role} is {spec.weights}" for role, spec in specs.items() if spec.weights != "pretrained"],
        renders=all(source.format == "world" for source in config.data.sources),
        load=about.load.format(
            folder="path/to/this/folder", scale=f", vae_scale_factor={NANO_VAE_SCALE_FACTOR}" if miniature else ""
        ),
        config=config,
        base=_name(base),
        dino=_name(config.models.dino),
        steps=f"{facts['steps']:,}",
        samples_seen=f"{facts['samples_seen']:,}",
        loss=f"{facts['loss']:.4g}" if "loss" in facts else None,
        weights="exponential moving average" if config.train.ema_decay else "of the last step",
        code=_code_version(),
        sources=[_source(source) for source in config.data.sources],
        license=_license(base),
        files=files,
        settings=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
    (folder / CARD).write_text(text, encoding="utf-8")


def _header(about: About, base: ModelSpec) -> dict[str, Any]:
    header: dict[str, Any] = {"license": "apache-2.0"}
    if base.weights == "pretrained":
        header = {"license": "other", "license_name": "license-of-the-base-model"}
    header |= {"library_name": "diffusers", "tags": ["toffee", "subject-driven-generation", "dinov2", *about.tags]}
    if base.weights == "pretrained" and base.path is None:
        header["base_model"] = base.id
    return header


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


def _source(source: SourceConfig) -> str:
    if isinstance(source, WorldSource):
        return f"world: {source.num_subjects:,} subjects of the small world, {source.views_per_subject} views each"
    return f"{source.format}: `{source.path}`"


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield {"name": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": digest}


def _code_version() -> str:
    """The package's version, with the git commit where this file is tracked by git."""
    text = f"toffee-pipeline {version('toffee-pipeline')}"
    here = Path(__file__)
    try:
        # A virtual environment may lie inside some other project's checkout: that commit says nothing of this code.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return f"{text}, commit {_git(here.parent, 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*')}"
    except (OSError, subprocess.SubprocessError):
        return text


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
