"""What a run says about its models: who plays each role. Knows no torch, so that a job's driver can say it at once."""

from __future__ import annotations

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.generate import ModelsConfig, RunConfig
from toffee_pipeline.models.weights import describe_weights

STAND_IN = "renderer (stand-in)"


def refiner_vae(models: ModelsConfig) -> ModelSpec:
    """The VAE that the Refiner works in: `models.vae`, else of the Refiner's kind; SDXL's for a pretrained Refiner."""
    if models.vae is not None:
        return models.vae
    return models.sdxl if models.refiner.weights == "pretrained" else ModelSpec(weights=models.refiner.weights)


def describe_roles(config: RunConfig) -> dict[str, str]:
    """Who plays each role, such as {"mask": "renderer (stand-in)", "refiner": "nano weights 0123456789abcdef"}.

    Reads the weights that lie in local folders, to hash them. Raises FileNotFoundError where they are missing.
    """
    models = config.models
    roles: dict[str, str] = {}

    def network(name: str, spec: ModelSpec, folder: str, role: str | None = None) -> None:
        roles[name] = STAND_IN if role and config.plays_renderer(role) else describe_weights(spec, folder)

    if config.subjects.source == "synthesis":
        network("subject", models.sdxl, "sdxl")
    else:
        roles["subject"] = STAND_IN if config.subjects.source == "renderer" else "folder of images"
    if config.plays_renderer("mask"):
        roles["mask"] = STAND_IN
    else:
        network("detector", models.detector, "detector")
        network("segmenter", models.segmenter, "segmenter")
    network("depth", models.depth, "depth", "depth")
    if config.plays_renderer("draft"):
        roles["draft"] = STAND_IN
    else:
        network("draft", models.sdxl, "sdxl")
        network("controlnet", models.controlnet, "controlnet")
    network("dino", models.dino, "dino")
    network("refiner", models.refiner, "refiner")
    network("vae", refiner_vae(models), "vae")
    network("view", models.view_generator, "view_generator", "view")
    network("clip", models.clip, "clip")
    network("filter_dino", models.filter_dino, "dino")
    return roles
