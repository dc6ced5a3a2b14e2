"""The files of a result: pictures with their settings, and a contact sheet of several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from toffee_pipeline.customize.png import encode_with_settings
from toffee_pipeline.customize.request import Request
from toffee_pipeline.errors import SampleError
from toffee_pipeline.image_grid import image_grid
from toffee_pipeline.images import encode_png, fit_square
from toffee_pipeline.models.weights import describe_weights
from toffee_pipeline.rundir.trained import Trained

NUMBERED = re.compile(r"(\d{4,})(-sheet)?\.png")
COLUMNS = 4


def settings_of(trained: Trained, request: Request, sources: Mapping[str, Any]) -> dict[str, Any]:
    """What a picture of this request says of itself, but for its seed. sources: where its pictures came from."""
    config = trained.config
    return {
        "code": f"toffee-pipeline {version('toffee-pipeline')}",
        "model": describe_weights(trained.weights, "toffeenet"),
        "prompt": request.prompt,
        "class_name": request.class_name,
        **sources,
        "strength_dino": request.dino_scale,
        "guidance_dino": request.dino_guidance_scale,
        "sampling": config.sampling.model_dump(),
        "size_px": config.size_px,
    }


def write_pictures(
    folder: Path, images: Sequence[np.ndarray | SampleError], seeds: Sequence[int], settings: Mapping[str, Any]
) -> list[Path]:
    """Writes `NNNN.png` each, numbered on from what is in the folder; a SampleError is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    number = _next_number(folder)
    paths: list[Path] = []
    for image, seed in zip(images, seeds, strict=True):
        if not isinstance(image, SampleError):
            paths.append(folder / f"{number + len(paths):04d}.png")
            _write_new(paths[-1], encode_with_settings(image, {**settings, "seed": seed}))
    return paths


def write_sheet(path: Path, request: Request, images: Sequence[np.ndarray], edited: bool) -> None:
    """Writes a contact sheet: the subject's first picture, then the images, in rows of four under the prompt."""
    subject = request.subjects[0]
    shown = [subject if edited else fit_square(subject, images[0].shape[0]), *images]
    blank = np.full_like(images[0], 255)
    rows = [list(shown[first : first + COLUMNS]) for first in range(0, len(shown), COLUMNS)]
    rows[-1] += [blank] * (COLUMNS - len(rows[-1]))
    captions = [request.prompt, *[" "] * (len(rows) - 1)]
    _write_new(path, encode_png(image_grid(rows, ["subject", *[""] * (COLUMNS - 1)], captions)))


def sheet_path(first: Path) -> Path:
    """Beside the first of the pictures that it shows."""
    return first.with_name(f"{first.stem}-sheet.png")


def _next_number(folder: Path) -> int:
    return 1 + max(_numbers(folder), default=-1)


def _numbers(folder: Path) -> Iterator[int]:
    for path in folder.iterdir():
        if match := NUMBERED.fullmatch(path.name):
            yield int(match[1])


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:  # never over what another job has just written
        file.write(data)
