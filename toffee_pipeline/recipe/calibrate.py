"""Filter thresholds of the nano encoders on held-out renders, through the scorers that the pipeline uses."""

from __future__ import annotations

import numpy as np
import torch

from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.scores import ClipScorer, DinoScorer
from toffee_pipeline.nano import world
from toffee_pipeline.plan.catalog import load_catalog

CPU = torch.device("cpu")
FIRST_SEED = 500_000
"""Below the training seeds."""
KEPT = 0.95


def calibrate(count: int = 360) -> dict[str, float]:
    """The thresholds that keep 95 % of true pairs, and how much of what is wrong they refuse.

    clip: a render and its prompt, against the prompt of another background (the wording of the nano catalogue).
    dino: two views of one subject in different places, against two subjects of one class.
    """
    config = load_config("nano")
    clip, dino = ClipScorer(config.models.clip, CPU), DinoScorer(config.models.filter_dino, CPU)
    catalog, rng = load_catalog("nano"), np.random.default_rng(0)
    images, views, others, prompts, wrong = [], [], [], [], []
    for index in range(count):
        name = world.CLASS_NAMES[index % len(world.CLASS_NAMES)]
        subject, other = (world.make_toy(name, FIRST_SEED + 2 * index + offset) for offset in (0, 1))
        places = [str(place) for place in rng.choice(world.BACKGROUNDS, 3, replace=False)]
        azimuth = rng.uniform(-1, 1)

        def render(shown: world.Toy, place: str, azimuth: float) -> np.ndarray:
            view = world.View(azimuth, rng.uniform(0.1, 0.26))
            return world.render(shown, view, place, "photo", seed=int(rng.integers(2**31))).rgb

        images.append(render(subject, places[0], azimuth))
        views.append(render(subject, places[1], azimuth + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)))
        others.append(render(other, places[2], azimuth + rng.uniform(-1.2, 1.2)))
        prompts.append(catalog.prompt(name, "background", places[0]))
        wrong.append(catalog.prompt(name, "background", places[1]))
    true_clip, wrong_clip = np.array(clip.score(images, prompts)), np.array(clip.score(images, wrong))
    true_dino, wrong_dino = np.array(dino.score(images, views)), np.array(dino.score(images, others))
    min_clip, min_dino = np.quantile(true_clip, 1 - KEPT), np.quantile(true_dino, 1 - KEPT)
    return {
        "min_clip": float(min_clip),
        "wrong_background_refused": float((wrong_clip < min_clip).mean()),
        "clip_true": float(true_clip.mean()),
        "clip_wrong": float(wrong_clip.mean()),
        "min_dino": float(min_dino),
        "other_subject_refused": float((wrong_dino < min_dino).mean()),
        "dino_same": float(true_dino.mean()),
        "dino_other": float(wrong_dino.mean()),
    }
