"""The network that a training of jobs/train_toffeenet.py left behind, and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.errors import NoRun
from toffee_pipeline.rundir.description import read_training
from toffee_pipeline.rundir.layout import MODEL, RUN
from toffee_pipeline.storage import LocalStorage

NANO = "nano"
NANO_TRAINING = ("dino_input=segmented", "reconstruction_probability=0.5")
"""With what the network in the package was trained over the nano profile, which is the paper's headline."""


class Trained(NamedTuple):
    """weights: of the network. config: of its training, which names the frozen networks."""

    weights: ModelSpec
    config: ToffeeNetTraining


def find_toffeenet(model: str, overrides: Sequence[str] = ()) -> Trained:
    """A trained ToffeeNet.

    Args:
        model: a run directory on this machine or its model folder; `nano` for the network in the package.
        overrides: `key=value` over the settings of its training.

    Raises:
        NoRun, OtherVersion, DamagedFile: as `read_run`; NoRun also where the training has not ended.
        StorageError: a link that leaves the run directory.
        ConfigError: an override that is not allowed.
    """
    if model == NANO:
        return Trained(ModelSpec(weights="nano"), load_config(NANO, (*NANO_TRAINING, *overrides), ToffeeNetTraining))
    folder = Path(model).absolute()
    run = folder.parent if folder.name == MODEL and not (folder / RUN).exists() else folder
    storage = LocalStorage(str(run))
    read_training(storage, ToffeeNetTraining)  # its version and job are known before it is used
    weights = Path(storage.path_for(MODEL))
    if not weights.is_dir():
        raise NoRun(f"{run}: no {MODEL} folder yet; jobs/train_toffeenet.py writes it when it ends")
    for path in filter(Path.is_symlink, weights.rglob("*")):  # who loads the weights would follow it
        storage.path_for(f"{MODEL}/{path.relative_to(weights).as_posix()}")
    return Trained(ModelSpec(path=weights), load_config(str(run / RUN), overrides, ToffeeNetTraining))
