"""Which starts belong to one run, by whose weights they would draw with."""

import shutil

import pytest

from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.models.roles import describe_roles
from toffee_pipeline.models.weights import NANO_WEIGHTS
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.description import GenerationRun, claim
from toffee_pipeline.storage import open_storage


@pytest.fixture
def start(tmp_path):
    """Begins a run, or goes on with it, with the Refiner that lies in this folder."""

    def start(refiner):
        config = load_config("nano", (f"models.refiner={{weights: pretrained, path: {refiner}}}",))
        run = GenerationRun.of(config, Plan(config), describe_roles(config))
        return claim(open_storage(str(tmp_path / "run")), run)

    return start


@pytest.fixture
def refiner(tmp_path):
    return shutil.copytree(NANO_WEIGHTS / "refiner", tmp_path / "refiner")


def test_other_weights_in_the_same_folder_are_refused_in_one_line_that_names_the_role(start, refiner):
    start(refiner)
    weights = refiner / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    line = (
        r"differs in: the weights of refiner \(pretrained refiner \w{16} then, pretrained refiner \w{16} now\): go on"
    )
    with pytest.raises(RunMismatch, match=line):
        start(refiner)


def test_weights_that_only_moved_are_the_same(start, refiner, tmp_path):
    known = start(refiner)
    assert start(refiner.rename(tmp_path / "elsewhere")) == known
