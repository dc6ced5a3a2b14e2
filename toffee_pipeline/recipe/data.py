"""Renders the training sets of the nano networks, below the recipe's work folder."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from toffee_pipeline.nano import world
from toffee_pipeline.nano.world_samples import NUM_HELD_OUT, ViewSample, draw_photo, draw_told_photo, draw_views

VIEWS_PER_SUBJECT = 4
IMAGES_PER_PART = 1000


@dataclass
class WorldData:
    """Renders of n subjects from v views each; the last `NUM_HELD_OUT` subjects are held out.

    rgb: uint8 (n, v, 64, 64, 3). inverse_depth: float16 (n, v, 64, 64) in 0..1. mask: bool (n, v, 64, 64).
    coordinates: float16 (n, v, 256, 3), canonical surface point at the centre of each 4 px patch, NaN off the subject.
    classes: int (n,). backgrounds, styles: int (n, v), indices into `world.BACKGROUNDS` and `world.STYLES`.
    captions: n lists of v strings.
    """

    rgb: np.ndarray
    inverse_depth: np.ndarray
    mask: np.ndarray
    coordinates: np.ndarray
    classes: np.ndarray
    backgrounds: np.ndarray
    styles: np.ndarray
    captions: list[list[str]]

    @property
    def num_train(self) -> int:
        return len(self.rgb) - NUM_HELD_OUT


def to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """uint8 (n, H, W, 3) to float32 (n, 3, H, W) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float() / 127.5 - 1


def shifted(images: torch.Tensor, most_px: int, rng: np.random.Generator) -> torch.Tensor:
    """(n, c, H, W), all moved by up to so many pixels each way; what comes into sight repeats the border."""
    top, left = rng.integers(0, 2 * most_px + 1, 2)
    height, width = images.shape[-2:]
    return F.pad(images, (most_px,) * 4, mode="replicate")[..., top : top + height, left : left + width]


def views_of(index: int) -> list[ViewSample]:
    return list(islice(draw_views(index), VIEWS_PER_SUBJECT))


def photo_of(index: int) -> list[ViewSample]:
    return [draw_photo(index)]


def told_photo_of(index: int) -> list[ViewSample]:
    return [draw_told_photo(index)]


SETS: dict[str, tuple[Callable[[int], list[ViewSample]], int]] = {
    "views": (views_of, VIEWS_PER_SUBJECT),
    "photos": (photo_of, 1),
    "told_photos": (told_photo_of, 1),
}
"""The training sets: what draws a subject's views, and how many it draws. Photos come from telling sides only;
told ones have captions as drafts have them."""


def _render_part(folder: Path, name: str, part: int) -> None:
    """Renders one part to `part-NNNN.npz`; a part that is already there is left alone."""
    path = folder / f"part-{part:04d}.npz"
    if path.exists():
        return
    draw, num_views = SETS[name]
    num_subjects = IMAGES_PER_PART // num_views
    subjects = [draw(index) for index in range(part * num_subjects, (part + 1) * num_subjects)]
    views = [view for subject in subjects for view in subject]
    rendered = [view.rendering for view in views]
    columns: dict[str, Any] = {
        "rgb": np.stack([picture.rgb for picture in rendered]),
        "inverse_depth": np.stack([picture.inverse_depth for picture in rendered]).astype(np.float16),
        "mask": np.stack([picture.mask for picture in rendered]),
        "coordinates": np.stack([p.coordinates[2::4, 2::4].reshape(-1, 3) for p in rendered]).astype(np.float16),
        "backgrounds": np.array([world.BACKGROUNDS.index(view.background) for view in views]),
        "styles": np.array([world.STYLES.index(view.style) for view in views]),
    }
    temporary = path.with_suffix(".tmp.npz")
    columns = {key: value.reshape(num_subjects, num_views, *value.shape[1:]) for key, value in columns.items()}
    columns["classes"] = np.array([world.CLASS_NAMES.index(subject[0].subject.class_name) for subject in subjects])
    columns["captions"] = np.array(json.dumps([[view.caption for view in subject] for subject in subjects]))
    np.savez(temporary, **columns)
    temporary.replace(path)


def render_data(work_dir: Path, name: str, num_images: int, processes: int) -> None:
    """Renders so many images of the set `name` below `work_dir`; a second call renders only what is missing."""
    folder = work_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    parts = -(-num_images // IMAGES_PER_PART)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        done = pool.imap_unordered(partial(_render_part, folder, name), range(parts))
        for number, _ in enumerate(done, 1):
            print(f"{name} {number}/{parts} parts", flush=True)


def load_data(work_dir: Path, name: str) -> WorldData:
    """All parts of the set `name`."""
    paths = sorted((work_dir / name).glob("part-????.npz"))
    if not paths:
        raise FileNotFoundError(f"no rendered {name} below {work_dir}: run the 'data' step first")
    parts = [dict(np.load(path)) for path in paths]
    captions = [views for part in parts for views in json.loads(str(part.pop("captions")))]
    return WorldData(
        **{key: np.concatenate([part[key] for part in parts]) for key in parts[0]},
        captions=captions,
    )


def load_images(work_dir: Path) -> WorldData:
    """Both sets as one set of single images, each in its own row; held-out photos come last."""
    views, photos = load_data(work_dir, "views"), load_data(work_dir, "photos")
    kept = views.num_train  # held-out views stay out altogether
    columns = {}
    for key in ("rgb", "inverse_depth", "mask", "coordinates", "backgrounds", "styles"):
        ours = getattr(views, key)[:kept]
        columns[key] = np.concatenate([ours.reshape(-1, 1, *ours.shape[2:]), getattr(photos, key)])
    return WorldData(
        classes=np.concatenate([views.classes[:kept].repeat(VIEWS_PER_SUBJECT), photos.classes]),
        captions=[[caption] for row in views.captions[:kept] for caption in row] + photos.captions,
        **columns,
    )
