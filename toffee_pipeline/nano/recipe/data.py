"""Renders the training set of the nano networks: subjects of the small world, each from several views."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from toffee_pipeline.nano import world
from toffee_pipeline.nano.world_samples import NUM_HELD_OUT, SIZE_PX, draw_views

VIEWS_PER_SUBJECT = 4
SUBJECTS_PER_PART = 250


@dataclass
class WorldData:
    """Renders of `n` subjects from `VIEWS_PER_SUBJECT` views each; the last `NUM_HELD_OUT` subjects are held out.

    rgb: uint8 (n, v, 64, 64, 3). coordinates: float16 (n, v, 256, 3), canonical surface point at the centre of
    each 4 px patch, NaN off the subject. classes: int (n,). captions: n lists of v strings.
    """

    rgb: np.ndarray
    coordinates: np.ndarray
    classes: np.ndarray
    captions: list[list[str]]

    @property
    def num_train(self) -> int:
        return len(self.rgb) - NUM_HELD_OUT


def to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """uint8 (n, H, W, 3) to float32 (n, 3, H, W) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _render_part(job: tuple[Path, int]) -> None:
    """Renders one part to `part-NNNN.npz`; a part that is already there is left alone."""
    folder, part = job
    path = folder / f"part-{part:04d}.npz"
    if path.exists():
        return
    rgb, coordinates, classes = [], [], []
    captions: list[list[str]] = []
    for index in range(part * SUBJECTS_PER_PART, (part + 1) * SUBJECTS_PER_PART):
        views = list(islice(draw_views(index), VIEWS_PER_SUBJECT))
        classes.append(world.CLASS_NAMES.index(views[0].subject.class_name))
        captions.append([view.caption for view in views])
        rgb += [view.rendering.rgb for view in views]
        coordinates += [view.rendering.coordinates[2::4, 2::4].reshape(-1, 3).astype(np.float16) for view in views]
    shape = (SUBJECTS_PER_PART, VIEWS_PER_SUBJECT)
    temporary = path.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        rgb=np.stack(rgb).reshape(*shape, SIZE_PX, SIZE_PX, 3),
        coordinates=np.stack(coordinates).reshape(*shape, -1, 3),
        classes=np.array(classes),
        captions=np.array(json.dumps(captions)),
    )
    temporary.replace(path)


def render_data(work_dir: Path, num_subjects: int, processes: int) -> None:
    """Renders `num_subjects` subjects below `work_dir/world`; a second call renders only what is missing."""
    folder = work_dir / "world"
    folder.mkdir(parents=True, exist_ok=True)
    parts = -(-num_subjects // SUBJECTS_PER_PART)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, _ in enumerate(pool.imap_unordered(_render_part, [(folder, part) for part in range(parts)]), 1):
            print(f"data {number}/{parts} parts", flush=True)


def load_data(work_dir: Path) -> WorldData:
    """All parts that `render_data` wrote."""
    paths = sorted((work_dir / "world").glob("part-????.npz"))
    if not paths:
        raise FileNotFoundError(f"no rendered data below {work_dir}: run the 'data' step first")
    parts = [np.load(path) for path in paths]
    return WorldData(
        rgb=np.concatenate([part["rgb"] for part in parts]),
        coordinates=np.concatenate([part["coordinates"] for part in parts]),
        classes=np.concatenate([part["classes"] for part in parts]),
        captions=[views for part in parts for views in json.loads(str(part["captions"]))],
    )
