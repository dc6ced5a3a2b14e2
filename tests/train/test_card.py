"""The model card says what is in the folder and how it is used."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from huggingface_hub import ModelCard

from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, TrainingConfig, ViewGeneratorTraining
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.train.about import ABOUT
from toffee_pipeline.train.card import code_version, write_card

FACTS = {"steps": 1200, "samples_seen": 38_400, "loss": 0.31234, "lr": 1e-3}
UNTRAINED = {"base": {"weights": "untrained"}, "dino": {"weights": "nano"}}
PUBLISHED = {
    "base": {"id": "org/base", "revision": "abc"},
    "dino": {"id": "facebook/dinov2-giant"},
}
CLASSES = {config.job: config for config in (RefinerTraining, ViewGeneratorTraining, ToffeeNetTraining)}


WORLD, PHOTOS = {"format": "world"}, {"format": "webdataset", "path": "/data/cc3m"}


def config_of(task: str, models: dict, sources: tuple[dict, ...] = (WORLD,)) -> TrainingConfig:
    if task == "train_toffeenet":
        sources = ({"format": "run", "path": "s3://bucket/run"},)
    return CLASSES[task](
        size_px=64,
        models=models,
        data={"sources": sources},
        train={"max_steps": 1200, "batch_size": 32, "micro_batch_size": 8},
    )


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "x.safetensors").write_bytes(b"weights")
    return tmp_path


def split(folder: Path) -> tuple[dict, str]:
    """Metadata and text, as the hub's own library reads them."""
    card = ModelCard.load(folder / "README.md")
    return card.data.to_dict(), card.text


def code_of(text: str) -> str:
    """The Python code of a card."""
    return re.search(r"```python\n(.*?)```", text, re.S)[1]


class TestText:
    def test_every_job_has_a_card(self):
        assert ABOUT.keys() == CLASSES.keys()

    @pytest.mark.parametrize("task", ABOUT)
    def test_published_base(self, weights, task):
        config = config_of(task, PUBLISHED)
        write_card(weights, task, config, FACTS)
        header, text = split(weights)
        assert header["library_name"] == "diffusers" and header["base_model"] == "org/base"
        assert header["license"] == "other" and "toffee" in header["tags"]
        assert f"| `unet/x.safetensors` | 7 | `{hashlib.sha256(b'weights').hexdigest()}` |" in text
        for fact in ("| 1,200 |", "| 32 |", "| 38,400,", "| 0.3123 |", "`org/base` at revision `abc`", "section 3."):
            assert fact in text
        settings = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.S)[1])
        assert settings == config.model_dump(mode="json")
        assert "Not for real images" not in text and "\n\n\n" not in text

    def test_miniatures_and_renders_are_called_so(self, weights):
        write_card(weights, "train_refiner", config_of("train_refiner", UNTRAINED), FACTS)
        header, text = split(weights)
        assert header["license"] == "apache-2.0" and "base_model" not in header
        assert "**Not for real images.**" in text and "base is untrained; dino is nano" in text
        assert "not on photographs" in text
        write_card(weights, "train_refiner", config_of("train_refiner", UNTRAINED, (WORLD, PHOTOS)), FACTS)
        text = split(weights)[1]
        assert "photographs" not in text and "- world: 12,000 subjects" in text and "- webdataset: `/data/cc3m`" in text

    def test_loss_is_left_out_where_it_is_not_known(self, weights):
        write_card(weights, "train_refiner", config_of("train_refiner", UNTRAINED), {"steps": 1, "samples_seen": 32})
        assert "loss" not in split(weights)[1].split("## Configuration")[0]

    def test_local_base_is_no_hub_id(self, weights):
        models = PUBLISHED | {"base": {"path": "/models/base"}}
        write_card(weights, "train_refiner", config_of("train_refiner", models), FACTS)
        header, text = split(weights)
        assert "base_model" not in header and "| base | `/models/base` |" in text


class TestOfNanosSize:
    """Networks that no stock pipeline samples; what one does is proven in test_stock.py."""

    @pytest.mark.parametrize(
        ("task", "reason"), [("train_refiner", "its token map"), ("train_toffeenet", "it has 8 latent channels")]
    )
    def test_no_stock_pipeline_and_the_line_that_loads_it(self, tmp_path, task, reason):
        network = untrained.build(task.removeprefix("train_"))
        frozen = () if task == "train_refiner" else (untrained.build("vae"), *untrained.build("sd2"))
        network.save(tmp_path, *frozen)
        write_card(tmp_path, task, config_of(task, UNTRAINED), FACTS)
        text = split(tmp_path)[1]
        assert f"No stock pipeline samples this network: {reason}" in text
        with pytest.raises(OSError, match="model_index.json"):
            DiffusionPipeline.from_pretrained(tmp_path)
        names: dict = {}
        exec(code_of(text).replace("path/to/this/folder", str(tmp_path)), names)
        loaded = names["network"]
        assert loaded.scheduler.config.prediction_type == network.scheduler.config.prediction_type
        state = loaded.state_dict()
        assert all(torch.equal(state[name], weight) for name, weight in network.state_dict().items())
        assert getattr(loaded, "vae_scale_factor", 4) == Autoencoder(untrained.build("vae")).scale_factor

    def test_the_view_generators_latents_fit_no_published_part(self, weights):
        write_card(weights, "train_view_generator", config_of("train_view_generator", UNTRAINED), FACTS)
        assert "Its latents have 8 channels" in split(weights)[1]
        write_card(weights, "train_view_generator", config_of("train_view_generator", PUBLISHED), FACTS)
        assert "8 channels" not in split(weights)[1]


class TestDino:
    @pytest.mark.parametrize(
        ("dino", "source", "mean"),
        [
            ({"weights": "nano"}, '"toffee_pipeline/nano/weights/dino"', "[0.5, 0.5, 0.5]"),
            ({"path": "/models/dino"}, '"/models/dino"', "[0.485, 0.456, 0.406]"),
            ({"id": "a/b"}, '"a/b"', "[0.485, 0.456, 0.406]"),
            ({"id": "a/b", "revision": "c"}, '"a/b", revision="c"', "[0.485, 0.456, 0.406]"),
        ],
    )
    def test_the_encoder_and_its_preprocessing(self, weights, dino, source, mean):
        write_card(
            weights, "train_view_generator", config_of("train_view_generator", PUBLISHED | {"dino": dino}), FACTS
        )
        code = code_of(split(weights)[1])
        assert f"Dinov2Model.from_pretrained({source}, dtype=" in code and f"torch.tensor({mean})" in code
        compile(code, "card", "exec")

    def test_a_network_of_subjects_alone_says_so(self, weights):
        (weights / "model_index.json").write_text("{}")
        for dino_input in ("whole", "segmented"):
            config = config_of("train_toffeenet", PUBLISHED).model_copy(update={"dino_input": dino_input})
            write_card(weights, "train_toffeenet", config, FACTS)
            assert ("make all but the subject black" in split(weights)[1]) == (dino_input == "segmented")


class TestErrors:
    def test_one_line_each(self, weights, tmp_path):
        config = config_of("train_refiner", UNTRAINED)
        with pytest.raises(ValueError, match="^model card: job 'x': allowed are train_refiner, "):
            write_card(weights, "x", config, FACTS)
        with pytest.raises(ValueError, match="^model card: facts lack samples_seen, steps$"):
            write_card(weights, "train_refiner", config, {})
        (empty := tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"empty holds no \*.safetensors$"):
            write_card(empty, "train_refiner", config, FACTS)


class TestCode:
    @pytest.mark.parametrize("path", ["", "no git here"])
    def test_without_git_the_version_is_enough(self, weights, monkeypatch, path):
        monkeypatch.setenv("PATH", path)
        write_card(weights, "train_refiner", config_of("train_refiner", UNTRAINED), FACTS)
        assert re.search(r"\| code \| toffee-pipeline [\d.]+ \|", split(weights)[1])

    def test_commit_of_a_checkout_that_holds_the_code_and_no_other(self, tmp_path):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        copy = tmp_path / "card.py"
        copy.write_text("")
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        assert "commit" not in code_version(copy)
        subprocess.run(["git", "-C", tmp_path, "add", "card.py"], check=True)
        subprocess.run(["git", "-C", tmp_path, *identity, "commit", "-qm", "x"], check=True)
        assert re.search(r", commit [0-9a-f]{40}$", code_version(copy))
        copy.write_text("changed")
        assert code_version(copy).endswith("-dirty")
