"""The table of roles: which class plays each, with which weights, and who may stand in for it.

Knows no torch, so that a job's driver can say who plays what; a class is imported with its libraries when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from toffee_pipeline.config.base import Model, ModelSpec
from toffee_pipeline.config.dataset import DatasetConfig, ImageDatasetConfig, SubjectDatasetConfig
from toffee_pipeline.config.generate import ModelsConfig
from toffee_pipeline.config.refine_pairs import RefinementModels
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.weights import absence, describe_weights, require_digest, resolve

if TYPE_CHECKING:
    import torch

PLAYERS = {"renderer": "renderer (stand-in)", "folder": "folder of images", "bank": "subject bank"}
"""Who plays a role without weights, in words."""
MODELS, RENDERER = "toffee_pipeline.models", "toffee_pipeline.nano.renderer"
FOLDER = f"{MODELS}.subject:FolderSubject"
"""Plays the subject from a folder of images."""


class Weights(NamedTuple):
    """One set of weights behind a role.

    label: its name in run.json. key: its field of `ModelsConfig`, or property. network: the nano weights' folder.
    optional: the role plays without them too.
    """

    label: str
    key: str
    network: str
    optional: bool = False


class Role(NamedTuple):
    """Who plays a role. The class takes its weights' specs, its own settings, `size_px` if it needs that, the device.

    stage: whose settings are its own. stand_in: the renderer's class, which takes `size_px` alone.
    """

    plays: str
    weights: tuple[Weights, ...]
    stage: str | None = None
    takes_size: bool = False
    stand_in: str | None = None


ROLES = {
    "subject": Role(
        f"{MODELS}.subject:SDXLSubject",
        (
            Weights("subject", "sdxl", "sdxl"),
            Weights("subject_vae", "sdxl_vae", "vae", optional=True),
            Weights("subject_unet", "subject_unet", "subject_unet", optional=True),
        ),
        stage="synthesize",
        takes_size=True,
        stand_in=f"{RENDERER}:RendererSubject",
    ),
    "mask": Role(
        f"{MODELS}.grounded_sam:GroundedSam",
        (Weights("detector", "detector", "detector"), Weights("segmenter", "segmenter", "segmenter")),
        stage="segment",
        stand_in=f"{RENDERER}:RendererMask",
    ),
    "depth": Role(
        f"{MODELS}.depth:DepthEstimator",
        (Weights("depth", "depth", "depth"),),
        stand_in=f"{RENDERER}:RendererDepth",
    ),
    "draft": Role(
        f"{MODELS}.draft:ControlNetDraft",
        (
            Weights("draft", "sdxl", "sdxl"),
            Weights("draft_vae", "sdxl_vae", "vae", optional=True),
            Weights("draft_unet", "draft_unet", "draft_unet", optional=True),
            Weights("controlnet", "controlnet", "controlnet"),
        ),
        stage="draft",
        takes_size=True,
        stand_in=f"{RENDERER}:RendererDraft",
    ),
    "dino": Role(f"{MODELS}.dino:DinoEncoder", (Weights("dino", "dino", "dino"),)),
    "refiner": Role(
        f"{MODELS}.refiner:Refiner",
        (Weights("refiner", "refiner", "refiner"), Weights("vae", "vae", "vae")),
        stage="refine",
    ),
    "view": Role(
        f"{MODELS}.view_generator:ViewGenerator",
        (Weights("view", "view_generator", "view_generator"),),
        stage="view",
        takes_size=True,
        stand_in=f"{RENDERER}:RendererView",
    ),
    "clip_scorer": Role(f"{MODELS}.scores:ClipScorer", (Weights("clip", "clip", "filter_clip"),)),
    "aesthetic_scorer": Role(
        f"{MODELS}.scores:AestheticScorer",
        (Weights("clip", "clip", "filter_clip"), Weights("aesthetic", "aesthetic", "aesthetic")),
    ),
    "dino_scorer": Role(f"{MODELS}.scores:DinoScorer", (Weights("filter_dino", "filter_dino", "filter_dino"),)),
    "pixel_scorer": Role(f"{MODELS}.pixel_scorer:PixelScorer", ()),
    "prompt_guard": Role(
        f"{MODELS}.prompt_guard:PromptGuard", (Weights("prompt_guard", "prompt_guard", "prompt_guard"),)
    ),
    "image_safety": Role(
        f"{MODELS}.image_safety:ImageSafety",
        (Weights("image_safety", "image_safety", "image_safety"),),
        stage="check_images",
    ),
    "toffeenet": Role(f"{MODELS}.trained_toffeenet:load_trained", (Weights("toffeenet", "toffeenet", "toffeenet"),)),
}
"""In the order in which run.json names them."""


def load_role(name: str, config: DatasetConfig, device: torch.device) -> Any:
    """The model that plays the role, on its device; the first load of a role imports its libraries.

    Raises FileNotFoundError where its weights are missing.
    """
    role, player = ROLES[name], config.player(name)
    size_px = config.size_px if isinstance(config, ImageDatasetConfig) else 0
    if player == "folder":
        assert isinstance(config, SubjectDatasetConfig) and config.subjects.path is not None  # its own validator
        return resolve_name(FOLDER)(Path(config.subjects.path), size_px)
    if player == "renderer":
        assert role.stand_in is not None  # the config names only roles that have one
        return resolve_name(role.stand_in)(size_px)
    arguments: list[Any] = [
        refiner_vae(config.models) if weights.key == "vae" else getattr(config.models, weights.key)
        for weights in role.weights
    ]
    if role.stage:
        arguments.append(config.stage(role.stage))
    if role.takes_size:
        arguments.append(size_px)
    return resolve_name(role.plays)(*arguments, device)


def refiner_vae(models: Model) -> tuple[ModelSpec, str]:
    """The VAE that the Refiner works in, and its subfolder: `models.vae`, else of the Refiner's kind; SDXL's own for a
    pretrained Refiner."""
    if isinstance(models, RefinementModels):
        return models.vae, ""
    assert isinstance(models, ModelsConfig)  # without a Refiner nobody asks
    if models.vae is not None:
        return models.vae, ""
    return (models.sdxl if models.refiner.weights == "pretrained" else ModelSpec(weights=models.refiner.weights)), "vae"


def same_weights(config: DatasetConfig) -> dict[str, frozenset[str]]:
    """Of each role the sets of weights behind it, by their keys in `models`; optional ones where the config names
    them."""
    return {
        name: frozenset(
            weights.key
            for weights in role.weights
            if not weights.optional or getattr(config.models, weights.key, None) is not None
        )
        for name, role in ROLES.items()
    }


def has_weights(name: str, config: DatasetConfig) -> bool:
    """Whether the config names the weights that the role needs; else it is off, or none of a subject bank's."""
    return all(
        weights.optional or weights.key == "vae" or getattr(config.models, weights.key, None)
        for weights in ROLES[name].weights
    )


def describe_roles(config: DatasetConfig, names: Iterable[str] = ROLES) -> dict[str, str]:
    """Who plays these roles, such as {"mask": "renderer (stand-in)", "refiner": "nano weights 0123456789abcdef"}.

    Reads the weights that lie in local folders, to hash them; of those that are missing it says so.
    """
    described: dict[str, str] = {}
    for name in names:
        player = config.player(name)
        if player != "networks":
            described[name] = PLAYERS[player]
        for label, spec, network in networks_of(name, config):
            try:
                described[label] = describe_weights(spec, network)
            except FileNotFoundError as error:
                described[label] = f"missing: {error}"
    return described


def with_absence(described: Mapping[str, str], config: DatasetConfig) -> dict[str, str]:
    """What `describe_roles` says, and of ids of the hub whether they are on this machine: for a reader, since run.json
    is the same on every machine."""
    told = dict(described)
    for name in ROLES:
        for label, spec, _ in networks_of(name, config):
            if why := absence(spec):
                told[label] = f"{described[label]}, {why}"
    return told


def require_weights(config: DatasetConfig) -> None:
    """Raises ConfigError that names all weights that should lie on this machine and do not, and for a file that is not
    the one whose digest the config names."""
    missing: list[str] = []
    for name in ROLES:
        for _, spec, network in networks_of(name, config):
            if spec.has_files:
                try:
                    source = resolve(spec, network)
                    if spec.weights == "pretrained" and isinstance(source, Path):
                        require_digest(spec, source)
                except FileNotFoundError as error:
                    missing.append(str(error))
    if missing:
        raise ConfigError(f"missing weights: {'; '.join(dict.fromkeys(missing))}")


def networks_of(name: str, config: DatasetConfig) -> list[tuple[str, ModelSpec, str]]:
    """Label, spec and nano folder of all weights that the role needs under this config."""
    if config.player(name) != "networks" or not has_weights(name, config):
        return []
    return [
        (label, refiner_vae(config.models)[0] if key == "vae" else getattr(config.models, key), network)
        for label, key, network, optional in ROLES[name].weights
        if not optional or getattr(config.models, key) is not None
    ]
