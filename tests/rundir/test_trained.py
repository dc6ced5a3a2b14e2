"""A trained network that somebody else packed."""

import shutil

import pytest

from tests.helpers.toffeenet_run import write_run
from toffee_pipeline.errors import StorageError
from toffee_pipeline.rundir.trained import find_toffeenet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    write_run(folder)
    return folder


@pytest.mark.parametrize("linked", ["model", "model/unet", "model/unet/config.json"])
def test_weights_behind_a_link_that_leaves_the_run_are_not_read(linked, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    assert find_toffeenet(str(run)).weights.path == run / "model"
    (run / linked).rename(tmp_path / "theirs")
    (run / linked).symlink_to(tmp_path / "theirs")
    for model in (run, run / "model"):
        with pytest.raises(StorageError, match=f"{run}/{linked}: a link that leaves {run}"):
            find_toffeenet(str(model))
