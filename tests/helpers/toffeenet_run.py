"""A run of jobs/train_toffeenet.py as it is when it has ended, of a network that was never trained."""

import torch
from torch import nn

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import ToffeeNetTraining
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.tiny import untrained
from toffee_pipeline.rundir.description import TrainingFiles, TrainingRun
from toffee_pipeline.rundir.layout import MODEL, RUN

SETTINGS = (
    "models.vae.weights=untrained",
    "models.dino.weights=untrained",
    "sampling.num_inference_steps=2",
    "sampling.guidance_scale=2",
)


def randomized(network: ToffeeNetNetwork) -> ToffeeNetNetwork:
    """The network with random weights wherever training starts from zeros, so that every condition shows."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in network.named_parameters():
        if not parameter.any() or name == "unet.conv_in.weight":
            nn.init.normal_(parameter, std=0.4, generator=generator)
    return network


def write_run(folder, *overrides):
    """Writes run.json, and the network of the overrides' settings into the model folder."""
    config = load_config("nano", (*SETTINGS, *overrides), ToffeeNetTraining)
    files = TrainingFiles(num_files=1, sha256="0" * 64)
    run = TrainingRun[ToffeeNetTraining].now(config.job, config=config, data=files, models={})
    folder.mkdir(parents=True)
    (folder / RUN).write_bytes(run.encode())
    randomized(untrained.build("toffeenet")).save(folder / MODEL, untrained.build("vae"), *untrained.build("sd2"))
