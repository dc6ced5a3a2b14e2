"""The model card says what is in the folder, and its lines of code load it."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from torch import nn

from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, TrainingConfig, ViewGeneratorTraining
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.networks.view_generator import ViewGeneratorNetwork
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


def save_network(task: str, folder: Path) -> nn.Module:
    """Writes an untrained network as its job writes the trained one."""
    if task == "train_view_generator":
        network = ViewGeneratorNetwork(untrained.build("view_generator"), untrained.velocity_scheduler())
        network.save(folder, untrained.build("vae"))
    else:
        network = untrained.build({"train_refiner": "refiner", "train_toffeenet": "toffeenet"}[task])
        network.save(folder)
    return network


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "x.safetensors").write_bytes(b"weights")
    return tmp_path


def split(folder: Path) -> tuple[dict, str]:
    """Metadata and text, as the hub's own library reads them."""
    card = ModelCard.load(folder / "README.md")
    return card.data.to_dict(), card.text


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


class TestLoad:
    @pytest.mark.parametrize("task", ABOUT)
    def test_the_three_lines_load_the_weights(self, tmp_path, task):
        network = save_network(task, tmp_path)
        write_card(tmp_path, task, config_of(task, UNTRAINED), FACTS)
        code = re.search(r"```python\n(.*?)\n```", split(tmp_path)[1], re.S)[1]
        assert len(code.splitlines()) == 3
        names: dict = {}
        exec(code.replace("path/to/this/folder", str(tmp_path)), names)
        loaded = names.get("network") or names["pipeline"]
        assert type(loaded) is type(network) or task == "train_view_generator"
        assert loaded.scheduler.config.prediction_type == network.scheduler.config.prediction_type
        state = loaded.unet.state_dict()
        for name, weight in network.unet.state_dict().items():
            torch.testing.assert_close(state[name], weight, rtol=0, atol=0)

    def test_vae_factor_of_the_nano_refiner(self, tmp_path):
        save_network("train_refiner", tmp_path)
        write_card(tmp_path, "train_refiner", config_of("train_refiner", UNTRAINED), FACTS)
        assert f"vae_scale_factor={Autoencoder(untrained.build('vae')).scale_factor})" in split(tmp_path)[1]


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
