import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.guards import save_classifier, save_guard
from toffee_pipeline.config.base import ModelSpec, VaeSpec
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.dataset import SubjectsConfig
from toffee_pipeline.config.evaluate import EvaluationConfig, EvaluationModels, TrainedModel
from toffee_pipeline.config.generate import ModelsConfig, RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.safety import PromptGuardSpec, SafetensorsSpec
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.errors import ConfigError
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.draft import ControlNetDraft
from toffee_pipeline.models.grounded_sam import GroundedSam
from toffee_pipeline.models.image_safety import ImageSafety
from toffee_pipeline.models.model_set import ModelSet
from toffee_pipeline.models.pixel_scorer import PixelScorer
from toffee_pipeline.models.prompt_guard import PromptGuard
from toffee_pipeline.models.refiner import Refiner
from toffee_pipeline.models.roles import (
    ROLES,
    describe_roles,
    has_weights,
    load_role,
    refiner_vae,
    require_weights,
    with_absence,
)
from toffee_pipeline.models.scores import AestheticScorer, ClipScorer, DinoScorer
from toffee_pipeline.models.subject import FolderSubject, SDXLSubject
from toffee_pipeline.models.tiny.architectures import build_clip_config
from toffee_pipeline.models.trained_toffeenet import TrainedToffeeNet
from toffee_pipeline.models.view_generator import ViewGenerator
from toffee_pipeline.models.weights import NANO_WEIGHTS
from toffee_pipeline.nano import renderer

MakeConfig = Callable[..., RunConfig]
PLAYERS: dict[str, tuple[type, type | None]] = {
    "subject": (SDXLSubject, renderer.RendererSubject),
    "mask": (GroundedSam, renderer.RendererMask),
    "depth": (DepthEstimator, renderer.RendererDepth),
    "draft": (ControlNetDraft, renderer.RendererDraft),
    "dino": (DinoEncoder, None),
    "refiner": (Refiner, None),
    "view": (ViewGenerator, renderer.RendererView),
    "clip_scorer": (ClipScorer, None),
    "aesthetic_scorer": (AestheticScorer, None),
    "dino_scorer": (DinoScorer, None),
    "pixel_scorer": (PixelScorer, None),
    "prompt_guard": (PromptGuard, None),
    "image_safety": (ImageSafety, None),
    "toffeenet": (TrainedToffeeNet, None),
}


@pytest.fixture
def head(tmp_path: Path) -> ModelSpec:
    """An aesthetic head for the untrained CLIP."""
    path = tmp_path / "head.safetensors"
    width = build_clip_config(vocab_size=1)["embed_dim"]
    save_file({"weight": torch.zeros(1, width), "bias": torch.zeros(1)}, path)
    return ModelSpec(path=path)


def test_every_role_has_its_player_in_this_test() -> None:
    assert PLAYERS.keys() == ROLES.keys()


@pytest.mark.parametrize("role", PLAYERS)
def test_the_config_says_who_plays(
    role: str,
    make_config: MakeConfig,
    renderer_config: RunConfig,
    head: ModelSpec,
    device: torch.device,
    tmp_path: Path,
) -> None:
    training = load_config("nano", ("models.vae.weights=untrained", "models.dino.weights=untrained"), ToffeeNetTraining)
    evaluation = load_config("nano", (), EvaluationConfig)
    drawer = TrainedModel(weights="untrained", training=training)
    models = evaluation.models.model_copy(update={"toffeenet": drawer})
    guard = PromptGuardSpec(path=save_guard(tmp_path / "guard", None))
    images = SafetensorsSpec(path=save_classifier(tmp_path / "images"))
    config = make_config({"aesthetic": head, "prompt_guard": guard, "image_safety": images})
    network, stand_in = PLAYERS[role]
    asked = evaluation.model_copy(update={"models": models}) if role == "toffeenet" else config
    assert type(load_role(role, asked, device)) is network
    if stand_in is not None:
        assert type(load_role(role, renderer_config, device)) is stand_in


def test_the_renderer_plays_for_its_own_subjects_only(
    make_config: MakeConfig, device: torch.device, tmp_path: Path
) -> None:
    config = make_config(subjects=SubjectsConfig(source="folder", path=str(tmp_path)), renderer_plays=("mask", "view"))
    assert type(load_role("subject", config, device)) is FolderSubject
    assert type(load_role("mask", config, device)) is GroundedSam


def test_the_table_covers_all_weights_and_names_those_of_the_package() -> None:
    weights = [each for role in ROLES.values() for each in role.weights]
    fields = {*ModelsConfig.model_fields, *EvaluationModels.model_fields}
    assert {each.key for each in weights} == fields | {"sdxl_vae"}  # which is `vae`, where it plays for SDXL's own
    without = {"aesthetic", "prompt_guard", "image_safety", "subject_unet", "draft_unet"}  # there are no nano ones
    assert {each.network for each in weights} - without <= {path.name for path in NANO_WEIGHTS.iterdir()}
    assert len({each.label for each in weights}) == len(set(weights))


def test_a_model_is_loaded_once(config: RunConfig) -> None:
    models = ModelSet(config)
    assert models.dino is models.dino
    assert models.dino is not ModelSet(config).dino
    with pytest.raises(AttributeError, match="no role 'painter', only subject, mask, depth"):
        models.painter  # noqa: B018


def test_roles_are_called_what_they_are(make_config: MakeConfig, renderer_config: RunConfig) -> None:
    named = describe_roles(renderer_config)
    assert named["mask"] == named["subject"] == named["draft"] == "renderer (stand-in)"
    assert "detector" not in named and named["refiner"] == "untrained (random weights)"
    hub = describe_roles(make_config({"clip": ClipSpec(id="a/b", revision="1234")}))
    assert hub["clip"] == "pretrained a/b@1234" and hub["detector"] == "untrained (random weights)"


def test_a_model_of_the_hub_is_on_this_machine_when_its_cache_has_weights_of_the_revision(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    revision = "1" * 40
    config = make_config({"clip": ClipSpec(id="a/b", revision=revision)})
    described = describe_roles(config)
    absent = f"pretrained a/b@{revision}, not on this machine: will be downloaded"
    assert with_absence(described, config) == described | {"clip": absent}
    snapshot = tmp_path / "models--a--b" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_text("{}")
    assert with_absence(described, config)["clip"] == absent
    (snapshot / "model.safetensors").touch()
    assert with_absence(described, config) == described
    other = make_config({"clip": ClipSpec(id="a/b", revision="2" * 40)})
    assert with_absence(describe_roles(other), other)["clip"].endswith("not on this machine: will be downloaded")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert with_absence(describe_roles(other), other)["clip"].endswith("not on this machine, and HF_HUB_OFFLINE is set")


def test_run_json_names_the_roles_in_the_order_of_the_table(
    make_config: MakeConfig, renderer_config: RunConfig, tmp_path: Path
) -> None:
    last = ["dino", "refiner", "vae", "view", "clip", "filter_dino"]
    networks = ["subject", "detector", "segmenter", "depth", "draft", "controlnet", *last]
    assert list(describe_roles(load_config("nano"))) == networks
    assert list(describe_roles(renderer_config)) == ["subject", "mask", "depth", "draft", *last]
    folder = describe_roles(make_config(subjects=SubjectsConfig(source="folder", path=str(tmp_path))))
    assert list(folder) == networks and folder["subject"] == "folder of images"


def test_all_missing_weights_are_named_at_once(make_config: MakeConfig, tmp_path: Path) -> None:
    gone = {name: ModelSpec(path=tmp_path / "gone" / name) for name in ("sdxl", "dino")}
    config = make_config(gone | {"clip": ClipSpec(path=tmp_path / "gone" / "clip.pt")})
    described = describe_roles(config)
    for label, network in (("subject", "sdxl"), ("draft", "sdxl"), ("dino", "dino"), ("clip", "filter_clip")):
        assert described[label].startswith(f"missing: {network}: no such file or folder: {tmp_path}")
    with pytest.raises(ConfigError, match=r"missing weights: sdxl: .*/sdxl; dino: .*/dino; filter_clip: .*clip.pt$"):
        require_weights(config)


def test_weights_of_whom_the_renderer_stands_in_for_may_be_missing(renderer_config: RunConfig, tmp_path: Path) -> None:
    gone = ModelSpec(path=tmp_path / "gone")
    config = renderer_config.model_copy(
        update={"models": renderer_config.models.model_copy(update={"detector": gone, "sdxl": gone})}
    )
    require_weights(config)


def test_the_refiners_vae_follows_the_config(make_config: MakeConfig) -> None:
    nano, base = ModelSpec(weights="nano"), ModelSpec(id="a/sdxl")
    spec, _ = refiner_vae(make_config({"refiner": nano}).models)
    assert spec.weights == "nano"
    pretrained = {"refiner": ModelSpec(id="a/b")}
    assert refiner_vae(make_config(pretrained | {"sdxl": base}).models) == (base, "vae")
    vae = VaeSpec(weights="nano")
    assert refiner_vae(make_config(pretrained | {"vae": vae}).models) == (vae, "")


def test_who_describes_roles_renders_or_counts_tokens_needs_no_torch() -> None:
    code = "import sys, toffee_pipeline.models.roles, toffee_pipeline.models.protocols, toffee_pipeline.nano.renderer; "
    code += "from toffee_pipeline.models.prompts import measure, ModelSpec; "
    code += "[measure(['a mug'], ModelSpec(weights=weights)) for weights in ('nano', 'untrained')]; "
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], cwd=root).returncode == 0


def test_an_optional_role_is_described_only_where_it_is_on(make_config: MakeConfig, head: ModelSpec) -> None:
    off, on = make_config(), make_config({"aesthetic": head})
    assert not has_weights("aesthetic_scorer", off) and has_weights("aesthetic_scorer", on)
    described = describe_roles(on)
    assert described.pop("aesthetic").startswith("pretrained head.safetensors ")
    assert described == describe_roles(off)
