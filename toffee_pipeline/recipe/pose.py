"""From which side a picture shows a subject: that of the nearest of renders from all around, by DINO's patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.tiny.architectures import PATCH_PX
from toffee_pipeline.nano import world

NUM_AZIMUTHS = 36
PLACE = "on a white table"


def azimuths(dino: DinoEncoder, subject: world.Toy, elevation: float, images: Sequence[np.ndarray]) -> np.ndarray:
    """Azimuth of each uint8 (64, 64, 3) picture of the subject in radians, (n,), in steps of 10 degrees.

    Only patches inside a render's mask count, so the pictures may show any place.
    """
    candidates = np.arange(NUM_AZIMUTHS) * 2 * np.pi / NUM_AZIMUTHS
    renders = [world.render(subject, world.View(azimuth, elevation), PLACE) for azimuth in candidates]
    mask = torch.from_numpy(np.stack([render.mask for render in renders])).float()
    weights = F.avg_pool2d(mask[:, None], PATCH_PX).flatten(1)
    similarity = torch.einsum(
        "ipc,kpc->ikp", _patches(dino, images), _patches(dino, [render.rgb for render in renders])
    )
    nearest = ((similarity * weights).sum(2) / weights.sum(1)).argmax(1)
    return candidates[nearest.numpy()]


def _patches(dino: DinoEncoder, images: Sequence[np.ndarray]) -> Tensor:
    return F.normalize(dino.encode(list(images))[:, 1:].float(), dim=2)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute difference of two azimuths in degrees, 0..180."""
    return np.degrees(np.abs((a - b + np.pi) % (2 * np.pi) - np.pi))
