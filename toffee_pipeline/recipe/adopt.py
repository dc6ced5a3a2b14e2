"""Takes what the training jobs wrote into the package, in half precision, and measures it on held-out renders."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.train import RefinerTraining
from toffee_pipeline.models.networks.refiner import RefinerNetwork
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.tiny.architectures import PATCH_PX, build_vae
from toffee_pipeline.models.tiny.text_encoder import build_text_encoder
from toffee_pipeline.models.weights import load_pretrained
from toffee_pipeline.nano.world_samples import draw_views
from toffee_pipeline.rundir.layout import MODEL
from toffee_pipeline.train.tasks import make_task

NUM_SUBJECTS = 48


def adopt(network: str, run: Path, weights_dir: Path) -> None:
    """Writes `weights_dir/network` from the run directory of its training job."""
    source, target = run / MODEL, weights_dir / network
    if network == "refiner":
        RefinerNetwork.load(source, PATCH_PX).half().save(target)
    elif network == "toffeenet":
        ToffeeNetNetwork.load(source).half().save(target, build_vae(), *build_text_encoder())
    else:
        load_pretrained(UNet2DConditionModel, source / "unet").half().save_pretrained(target)
        load_pretrained(DDIMScheduler, source / "scheduler").save_pretrained(target / "scheduler")


def held_out_views(num_subjects: int, first: int = 12_000 - 200) -> list[np.ndarray]:
    """One render of each subject that no training saw: uint8 (64, 64, 3)."""
    return [next(islice(draw_views(first + index), 1)).rendering.rgb for index in range(num_subjects)]


@torch.no_grad()
def refiner_psnr_db(run: Path, num_subjects: int = NUM_SUBJECTS) -> dict[str, float]:
    """PSNR of renders drawn from pure noise under their own tokens, and what the VAE alone allows."""
    task = make_task(load_config("nano", ("workers.placement=inline",), RefinerTraining))
    task.use(torch.device("cpu"))
    network = RefinerNetwork.load(run / MODEL, PATCH_PX)
    rows = {"target": np.stack(held_out_views(num_subjects))}
    _, shown = task.sample(network, rows)
    truth, through_vae, drawn = (np.stack(column).astype(np.float32) / 255 for column in zip(*shown, strict=True))
    psnr = lambda image: float(-10 * np.log10(((image - truth) ** 2).mean((1, 2, 3))).mean())  # noqa: E731
    return {"psnr_db": psnr(drawn), "vae_psnr_db": psnr(through_vae)}
