"""Code that lies with weights is never run, even where somebody says yes on the terminal."""

import ast
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.foreign_code import CODE, add, place_code
from tests.helpers.guards import save_classifier, save_guard
from tests.helpers.tiny_language_model import write_language_model
from toffee_pipeline.config.base import GroundingConfig, ModelSpec, SegmenterSpec
from toffee_pipeline.config.safety import PromptGuardSpec, SafetensorsSpec
from toffee_pipeline.config.speed import SpeedConfig
from toffee_pipeline.config.stages import CheckImagesConfig
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.grounded_sam import GroundedSam
from toffee_pipeline.models.image_safety import ImageSafety
from toffee_pipeline.models.language_model import LanguageModel
from toffee_pipeline.models.loading import build_untrained
from toffee_pipeline.models.prompt_guard import PromptGuard
from toffee_pipeline.models.scores import DinoScorer
from toffee_pipeline.models.sdxl import load_sdxl

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
AUTO_CLASSES = (
    *("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForImageClassification"),
    *("AutoModelForDepthEstimation", "AutoModelForZeroShotObjectDetection", "AutoProcessor", "AutoImageProcessor"),
)
LOADERS: dict[str, Callable[[Path], Any]] = {
    "language model": lambda folder: LanguageModel(ModelSpec(path=folder), CPU),
    "prompt guard": lambda folder: PromptGuard(PromptGuardSpec(path=folder), CPU),
    "image safety": lambda folder: ImageSafety(SafetensorsSpec(path=folder), CheckImagesConfig(), CPU),
    "depth": lambda folder: DepthEstimator(ModelSpec(path=folder), CPU),
    "filter DINO": lambda folder: DinoScorer(ModelSpec(path=folder), CPU),
    "detector": lambda folder: GroundedSam(
        ModelSpec(path=folder), SegmenterSpec(weights="untrained"), GroundingConfig(), CPU
    ),
}


@pytest.fixture(autouse=True)
def somebody_says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 10))


@pytest.mark.parametrize("loads", LOADERS)
def test_of_a_model(loads: str, tmp_path: Path) -> None:
    if loads == "prompt guard":
        save_guard(tmp_path, "Safety: Safe")  # its tokenizer is read first
    mark = place_code(tmp_path)
    add(tmp_path / "config.json", model_type="stranger", auto_map=dict.fromkeys(AUTO_CLASSES, CODE))
    add(tmp_path / "preprocessor_config.json", auto_map=dict.fromkeys(AUTO_CLASSES, CODE))
    with pytest.raises(ConfigError, match="asks for code of its own, which is never run") as refused:
        LOADERS[loads](tmp_path)
    assert "\n" not in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize("loads", ["language model", "prompt guard"])
def test_of_a_tokenizer(loads: str, tmp_path: Path) -> None:
    save_guard(tmp_path, "Safety: Safe") if loads == "prompt guard" else write_language_model(tmp_path)
    mark = place_code(tmp_path)
    add(tmp_path / "tokenizer_config.json", tokenizer_class="Stranger", auto_map={"AutoTokenizer": [None, CODE]})
    with suppress(ConfigError):  # where transformers has a class that reads the files as well, it takes that
        LOADERS[loads](tmp_path)
    assert not mark.exists()


def test_of_an_image_processor(tmp_path: Path) -> None:
    save_classifier(tmp_path, ("nsfw", "normal"))
    mark = place_code(tmp_path)
    add(tmp_path / "preprocessor_config.json", image_processor_type="S", auto_map={"AutoImageProcessor": CODE})
    with pytest.raises(ConfigError, match="asks for code of its own"):
        LOADERS["image safety"](tmp_path)
    assert not mark.exists()


def test_of_a_pipeline(tmp_path: Path) -> None:
    mark = place_code(tmp_path / "unet")
    add(tmp_path / "model_index.json", _class_name=["stranger", "Stranger"], unet=["stranger", "Stranger"])
    with pytest.raises((ConfigError, OSError)):
        load_sdxl(ModelSpec(path=tmp_path), None, None, SpeedConfig(), CPU)
    assert not mark.exists()


@pytest.mark.parametrize("part", [["transformers", "CLIPTextModel"], ["os", "system"], "x", 3, None])
def test_a_pipeline_of_classes_that_do_not_fit_is_one_line(part: Any, tmp_path: Path) -> None:
    build_untrained("sdxl").save_pretrained(tmp_path)
    add(tmp_path / "model_index.json", unet=part)
    with pytest.raises(ConfigError) as refused:
        load_sdxl(ModelSpec(path=tmp_path), None, None, SpeedConfig(), CPU)
    assert str(refused.value).startswith(f"{tmp_path}: cannot be loaded: ") and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["config.json", "deep/down/model.safetensors"])
@pytest.mark.parametrize("loads", LOADERS)
def test_a_pipe_among_weights_is_not_waited_for(loads: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "linked/deep/down").mkdir(parents=True)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/deep").symlink_to(tmp_path / "linked/deep")
    os.mkfifo(tmp_path / "weights" / name)
    with pytest.raises(DamagedFile, match=f"{name}: damaged: no regular file$"):
        LOADERS[loads](tmp_path / "weights")


def test_nothing_is_loaded_without_saying_so() -> None:
    files = [path for part in ("jobs", "actors", "toffee_pipeline") for path in (ROOT / part).rglob("*.py")]
    calls = [
        (path.relative_to(ROOT).as_posix(), {word.arg: ast.unparse(word.value) for word in node.keywords})
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"
    ]
    assert calls and not [path for path, words in calls if words.get("trust_remote_code") != "False"]
