"""Whoever loads weights later than the job's driver loads the same ones, or says so."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import DamagedFile, RunMismatch
from toffee_pipeline.models.same_files import require_same_files, with_samples
from toffee_pipeline.models.weights import NANO_WEIGHTS, SAMPLE_BLOCK_BYTES, SAMPLE_BLOCKS, sample_of


@pytest.fixture
def refiner(tmp_path: Path) -> Path:
    return shutil.copytree(NANO_WEIGHTS / "refiner", tmp_path / "refiner")


def config_of(refiner: Path) -> RunConfig:
    return load_config("nano", (f"models.refiner={{weights: pretrained, path: {refiner}}}",))


def test_an_actor_refuses_weights_that_are_not_those_of_the_driver(refiner: Path) -> None:
    config = config_of(refiner)
    sent = pickle.loads(pickle.dumps(with_samples(config, ("dino", "refiner"))))
    assert sent.model_dump() == config.model_dump()  # it stands in no file
    require_same_files(sent, ("dino", "refiner", "refiner"))
    weights = refiner / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    require_same_files(sent, ("dino",))
    with pytest.raises(RunMismatch, match=rf"^{refiner} on .*: other weights than where the job began.*--output$"):
        require_same_files(sent, ("dino", "refiner"))
    require_same_files(config, ("refiner",))  # of no driver, as in `jobs/measure.py`


def test_weights_that_nobody_loads_may_be_missing(tmp_path: Path) -> None:
    require_same_files(with_samples(config_of(tmp_path / "gone"), ("dino",)), ("dino",))


def test_weights_that_nobody_loads_may_be_unreadable(tmp_path: Path) -> None:
    """A pipe is refused where it would be read."""
    os.mkfifo(tmp_path / "weights")
    config = config_of(tmp_path / "weights")
    with pytest.raises(DamagedFile):
        with_samples(config, ("dino", "refiner"))
    assert with_samples(config, ("dino",)).models.refiner.sample is None


def test_of_a_large_file_a_sample_counts(tmp_path: Path) -> None:
    path, stride = tmp_path / "model.safetensors", 2 * SAMPLE_BLOCK_BYTES
    path.touch()
    os.truncate(path, stride * SAMPLE_BLOCKS)
    samples = [sample_of(tmp_path)]
    with path.open("r+b") as file:
        file.seek(stride * (SAMPLE_BLOCKS - 1) + SAMPLE_BLOCK_BYTES - 1)
        file.write(b"x")
    samples.append(sample_of(tmp_path))
    os.truncate(path, stride * SAMPLE_BLOCKS + 1)
    samples.append(sample_of(tmp_path))
    path.rename(tmp_path / "other.safetensors")
    samples.append(sample_of(tmp_path))
    assert len(set(samples)) == 4
