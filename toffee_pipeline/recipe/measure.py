"""Measures what the nano diffusion models draw, through the classes that the pipeline draws with.

The judge of prompts is the probe (`probe.py`), that of poses `pose.py`; the depth of a draft is what the nano depth
network sees in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.depth import DepthEstimator
from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.draft import ControlNetDraft
from toffee_pipeline.models.scores import ClipScorer, DinoScorer
from toffee_pipeline.models.subject import SDXLSubject
from toffee_pipeline.models.view_generator import ViewGenerator
from toffee_pipeline.nano import world
from toffee_pipeline.nano.world_samples import ViewSample, draw_photo
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.recipe.data import load_data
from toffee_pipeline.recipe.pose import angle_between, azimuths
from toffee_pipeline.recipe.probe import HEADS, Probe, judge, train_probe
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject

CPU = torch.device("cpu")
BATCH = 16
FIRST_UNSEEN = 900_000
"""Number of the first photo for the View Generator's measurement: far beyond the training set."""


def drawn(images: Sequence[np.ndarray | SampleError]) -> list[np.ndarray]:
    """The images; raises the first SampleError."""
    for image in images:
        if isinstance(image, SampleError):
            raise image
    return [image for image in images if isinstance(image, np.ndarray)]


def write_sheet(images: Sequence[np.ndarray], path: Path, columns: int = 12, zoom: int = 2) -> None:
    """The images in rows, enlarged, as one picture."""
    size = images[0].shape[0]
    blank = [np.full_like(images[0], 255)] * (-len(images) % columns)
    rows = np.stack([*images, *blank]).reshape(-1, columns, size, size, 3)
    sheet = rows.swapaxes(1, 2).reshape(len(rows) * size, columns * size, 3)
    Image.fromarray(sheet).resize((sheet.shape[1] * zoom, sheet.shape[0] * zoom), Image.Resampling.NEAREST).save(path)


def _asked(count: int, catalog_prompt: Callable[[str, str, str], str]) -> list[tuple[dict[str, int], str]]:
    """What each sample is asked for, the classes in turn: a place in a photo, or a style."""
    rng, asked = np.random.default_rng(0), []
    for index in range(count):
        which = index % len(world.CLASS_NAMES)
        name, wanted = world.CLASS_NAMES[which], {"class": which}
        if index % 3 == 2:
            wanted["style"] = int(rng.integers(1, len(world.STYLES)))
            prompt = catalog_prompt(name, "style", world.STYLES[wanted["style"]])
        else:
            wanted["background"] = int(rng.integers(len(world.BACKGROUNDS)))
            prompt = catalog_prompt(name, "background", world.BACKGROUNDS[wanted["background"]])
        asked.append((wanted, prompt))
    return asked


def _followed(probe: Probe, images: Sequence[np.ndarray], asked: list[tuple[dict[str, int], str]]) -> dict[str, float]:
    """Share of the images in which the probe names what was asked for."""
    named = judge(probe, images)
    return {
        head: float(
            np.mean([named[head][row] == wanted[head] for row, (wanted, _) in enumerate(asked) if head in wanted])
        )
        for head in HEADS
    }


def measure_text_to_image(work_dir: Path, count: int = 216) -> tuple[dict[str, float], list[np.ndarray]]:
    """Shares of samples whose class, background and style the probe names as asked; and the samples."""
    config, catalog = load_config("nano"), load_catalog("nano")
    model = SDXLSubject(config.models.sdxl, None, None, config.stages.synthesize, config.size_px, CPU)
    asked = _asked(count, catalog.prompt)  # type: ignore[arg-type]
    images: list[np.ndarray] = []
    for start in range(0, count, BATCH):
        rows = enumerate(asked[start : start + BATCH], start)
        images += drawn(model.create([Subject(str(row), "", prompt, row) for row, (_, prompt) in rows]))
    return _followed(train_probe(work_dir), images, asked), images


def measure_controlnet(work_dir: Path, count: int = 108) -> tuple[dict[str, float], list[np.ndarray]]:
    """The same for drafts on held-out photos' layouts, and the correlation of the drafts' depth with the given one."""
    config, catalog, data = load_config("nano"), load_catalog("nano"), load_data(work_dir, "photos")
    models = config.models
    model = ControlNetDraft(models.sdxl, None, None, models.controlnet, config.stages.draft, config.size_px, CPU)
    depth = DepthEstimator(models.depth, CPU)
    rows = np.arange(data.num_train, data.num_train + count)
    asked = _asked(count, catalog.prompt)  # type: ignore[arg-type]
    prompts = []
    for row, (wanted, prompt) in zip(rows, asked, strict=True):  # the layout says what the class is
        prompts.append(prompt.replace(world.CLASS_NAMES[wanted["class"]], world.CLASS_NAMES[data.classes[row]]))
        wanted["class"] = int(data.classes[row])
    given = depth.estimate(list(data.rgb[rows, 0]), [])
    images: list[np.ndarray] = []
    for start in range(0, count, BATCH):
        part = range(start, min(start + BATCH, count))
        pairs = [Pair(str(row), "", "generation", "background", "", prompts[row], prompts[row], row) for row in part]
        photos = [data.rgb[rows[row], 0] for row in part]
        images += drawn(model.draft(pairs, [], drawn(given[start : start + BATCH]), photos, [None] * len(part)))
    seen = depth.estimate(images, [])
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(drawn(given), drawn(seen), strict=True)]
    return {"depth_correlation": float(np.mean(correlation))} | _followed(train_probe(work_dir), images, asked), images


def measure_view_generator(count: int = 96) -> tuple[dict[str, float], list[np.ndarray]]:
    """Similarity of generated views to their subject as a share of that of true other views; change of the pose.

    The subjects are held-out photos in the style of a photo; the true other view turns by 0.4 to 1.2 rad. The pose is
    what `pose.py` finds; its error is that on the true views.
    """
    config = load_config("nano")
    photos = list(
        islice((photo for photo in map(draw_photo, range(FIRST_UNSEEN, sys.maxsize)) if photo.style == "photo"), count)
    )
    inputs = [photo.rendering.rgb for photo in photos]
    model = ViewGenerator(config.models.view_generator, config.stages.view, config.size_px, CPU)
    dino = DinoEncoder(config.models.dino, CPU)
    views: list[np.ndarray] = []
    for start in range(0, count, BATCH):
        tokens = dino.encode(inputs[start : start + BATCH])
        views += drawn(model.generate(tokens, [], list(range(start, start + len(tokens)))))
    turned = [_turned(photo, seed) for seed, photo in enumerate(photos)]
    truth = [world.render(photo.subject, view, place).rgb for photo, (view, place) in zip(photos, turned, strict=True)]
    seen = np.stack(
        [
            azimuths(dino, photo.subject, photo.view.elevation, [view, true])
            for photo, view, true in zip(photos, views, truth, strict=True)
        ]
    )
    errors = angle_between(seen[:, 1], np.array([view.azimuth for view, _ in turned]))
    turns = angle_between(seen[:, 0], np.array([photo.view.azimuth for photo in photos]))
    figures = {
        "pose_error_deg": float(errors.mean()),
        "median_pose_error_deg": float(np.median(errors)),
        "turn_deg": float(turns.mean()),
    }
    return _similarities(config, inputs, views, truth) | figures, views


def _turned(photo: ViewSample, seed: int) -> tuple[world.View, str]:
    rng = np.random.default_rng(seed)
    azimuth = photo.view.azimuth + rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
    return world.View(azimuth, photo.view.elevation), str(rng.choice(world.BACKGROUNDS))


def _similarities(
    config: RunConfig, inputs: list[np.ndarray], views: list[np.ndarray], truth: list[np.ndarray]
) -> dict[str, float]:
    """Mean cosine of generated and of true views to the input, by DINO and by CLIP, and their ratio."""
    figures: dict[str, float] = {}
    dino, clip = DinoScorer(config.models.filter_dino, CPU), ClipScorer(config.models.clip, CPU)
    for name, encode in (("dino", dino.encode), ("clip", clip.encode_images)):
        base, generated, true = (encode(images) for images in (inputs, views, truth))
        drawn_similarity = F.cosine_similarity(base, generated).mean().item()
        true_similarity = F.cosine_similarity(base, true).mean().item()
        figures |= {f"{name}_generated": drawn_similarity, f"{name}_true": true_similarity}
        figures[f"{name}_share"] = drawn_similarity / true_similarity
    return figures
