"""An untrained network of the real classes, asked with photos that are not square."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.toffeenet_run import write_run
from toffee_pipeline.rundir.trained import find_toffeenet


@pytest.fixture(scope="package")
def toffeenet_run(tmp_path_factory):
    """A training's run directory, to be read only."""
    folder = tmp_path_factory.mktemp("toffeenet") / "run"
    write_run(folder)
    return folder


@pytest.fixture(scope="package")
def customizer(toffeenet_run):
    from toffee_pipeline.customize.customizer import Customizer

    return Customizer(find_toffeenet(str(toffeenet_run)))


def photo(seed, width=100, height=80):
    """Smooth random uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="package")
def photos():
    """Two photos of 100 x 80 px."""
    return photo(0), photo(1)


@pytest.fixture(scope="package")
def mask():
    """A region of the photos, within their centred square (columns 10 to 89)."""
    region = np.zeros((80, 100), bool)
    region[20:50, 30:61] = True
    return region
