from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from toffee_pipeline.config.base import ClipSpec, ModelSpec
from toffee_pipeline.config.generate import RunConfig, SubjectsConfig
from toffee_pipeline.models import registry, roles
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.draft import ControlNetDraft
from toffee_pipeline.models.grounded_sam import GroundedSam
from toffee_pipeline.models.subject import FolderSubject, SDXLSubject
from toffee_pipeline.models.view_generator import ViewGenerator
from toffee_pipeline.nano import renderer

ROLES = [
    (registry.make_subject_model, SDXLSubject, renderer.RendererSubject),
    (registry.make_mask_model, GroundedSam, renderer.RendererMask),
    (registry.make_depth_model, DepthEstimator, renderer.RendererDepth),
    (registry.make_draft_model, ControlNetDraft, renderer.RendererDraft),
    (registry.make_view_model, ViewGenerator, renderer.RendererView),
]


@pytest.mark.parametrize("make, network, stand_in", ROLES)
def test_registry_picks_as_configured(
    make: Callable, network: type, stand_in: type, config: RunConfig, renderer_config: RunConfig, device: torch.device
) -> None:
    assert type(make(config, device)) is network
    assert type(make(renderer_config, device)) is stand_in


def test_the_renderer_plays_for_its_own_subjects_only(
    make_config: Callable[..., RunConfig], device: torch.device, tmp_path: Path
) -> None:
    config = make_config(subjects=SubjectsConfig(source="folder", path=tmp_path), renderer_plays=("mask", "view"))
    assert type(registry.make_subject_model(config, device)) is FolderSubject
    assert type(registry.make_mask_model(config, device)) is GroundedSam


def test_roles_are_called_what_they_are(make_config: Callable[..., RunConfig], renderer_config: RunConfig) -> None:
    named = roles.describe_roles(renderer_config)
    assert named["mask"] == named["subject"] == named["draft"] == "renderer (stand-in)"
    assert "detector" not in named and named["refiner"] == "untrained (random weights)"
    hub = roles.describe_roles(make_config({"clip": ClipSpec(id="a/b", revision="1234")}))
    assert hub["clip"] == "pretrained a/b@1234" and hub["detector"] == "untrained (random weights)"


def test_the_refiners_vae_follows_the_config(make_config: Callable[..., RunConfig]) -> None:
    nano, base = ModelSpec(weights="nano"), ModelSpec(id="a/sdxl")
    spec = roles.refiner_vae(make_config({"refiner": nano}).models)
    assert spec.weights == "nano"
    assert roles.refiner_vae(make_config({"refiner": ModelSpec(id="a/b"), "sdxl": base}).models) == base
    assert roles.refiner_vae(make_config({"refiner": ModelSpec(id="a/b"), "vae": nano}).models) == nano
