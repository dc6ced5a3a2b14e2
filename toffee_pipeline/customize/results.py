"""The files of a result: pictures with their settings, and a contact sheet of several."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from toffee_pipeline.customize.png import encode_with_settings
from toffee_pipeline.customize.request import Request
from toffee_pipeline.errors import SampleError
from toffee_pipeline.image_grid import image_grid
from toffee_pipeline.images import encode_png, fit_square
from toffee_pipeline.models.weights import describe_weights
from toffee_pipeline.rundir.trained import Trained

NUMBERED = re.compile(r"(\d{4,})(-sheet)?\.png")
COLUMNS = 5


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


class Written(NamedTuple):
    """sheet: beside several pictures. failed: how many there are none of, with the first one's error; or empty."""

    pictures: list[Path]
    sheet: Path | None
    failed: str


def write_results(
    folder: Path, request: Request, images: Sequence[np.ndarray | SampleError], settings: Mapping[str, Any]
) -> Written:
    """Writes `NNNN.png` of each image, numbered on from what is in the folder, and `NNNN-sheet.png` of several.

    settings: what each picture says of itself, but for its seed (`settings_of`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = _next_number(folder)
    pictures: list[Path] = []
    good: list[np.ndarray] = []
    for image, seed in zip(images, request.seeds, strict=True):
        if not isinstance(image, SampleError):
            pictures.append(folder / f"{number + len(pictures):04d}.png")
            _write_new(pictures[-1], encode_with_settings(image, {**settings, "seed": seed}))
            good.append(image)
    sheet = None
    if len(good) > 1:
        sheet = pictures[0].with_name(f"{pictures[0].stem}-sheet.png")
        _write_new(sheet, encode_png(contact_sheet(request, good)))
    errors = [image for image in images if isinstance(image, SampleError)]
    return Written(pictures, sheet, f"{len(errors)} of {len(images)} images failed: {errors[0]}" if errors else "")


def contact_sheet(request: Request, images: Sequence[np.ndarray]) -> np.ndarray:
    """The subject's first photo, as it is edited or seen, then the images, in rows of five over the prompt."""
    subject = request.subjects[0]
    shown = [subject if request.mask is not None else fit_square(subject, images[0].shape[0]), *images]
    width = min(COLUMNS, len(shown))
    rows = [list(shown[first : first + width]) for first in range(0, len(shown), width)]
    rows[-1] += [np.full_like(images[0], 255)] * (width - len(rows[-1]))
    captions = [request.prompt, *[" "] * (len(rows) - 1)]
    return image_grid(rows, ["subject", *[""] * (width - 1)], captions)


def _next_number(folder: Path) -> int:
    return 1 + max(_numbers(folder), default=-1)


def _numbers(folder: Path) -> Iterator[int]:
    for path in folder.iterdir():
        if match := NUMBERED.fullmatch(path.name):
            yield int(match[1])


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:  # never over what another job has just written
        file.write(data)
