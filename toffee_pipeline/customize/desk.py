"""What the page's buttons do: from what stands in its fields to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from toffee_pipeline.collector import collector_paused
from toffee_pipeline.customize.inputs import read_mask, read_picture
from toffee_pipeline.customize.request import AUTO, Request
from toffee_pipeline.customize.results import settings_of, write_results
from toffee_pipeline.customize.square import mask_of_picture
from toffee_pipeline.errors import RequestError
from toffee_pipeline.images import fit_square
from toffee_pipeline.rundir.trained import Trained

CANVAS_PX = 512
"""Side of the square that is drawn on: fixed, so that the editor rescales nothing."""
Region = Literal["nothing: a new picture", "what is drawn", "what the mask shows"]
REGIONS: tuple[Region, ...] = ("nothing: a new picture", "what is drawn", "what the mask shows")


class Fields(NamedTuple):
    """In the page's order. photos, mask: paths of uploads. drawing: what the image editor gives."""

    photos: Sequence[str] | None
    prompt: str
    class_name: str
    region: Region
    drawing: dict[str, Any] | None
    mask: str | None
    keep_structure: bool
    strength_dino: float
    num_images: int
    seed: int | None


class Answer(NamedTuple):
    """pictures: paths of PNG files. files: these, and a contact sheet of several. words: seconds, failures."""

    pictures: list[str]
    files: list[str]
    words: str


class Desk:
    """Holds the networks, and the folder to which pictures go."""

    def __init__(self, trained: Trained, output: Path) -> None:
        self.trained, self.output = trained, output
        with collector_paused():
            from toffee_pipeline.customize.customizer import Customizer

            self.customizer = Customizer(trained)

    def canvas(self, photos: Sequence[str] | None) -> np.ndarray | None:
        """The first photo's centred square to draw on, uint8 (CANVAS_PX, CANVAS_PX, 3). Raises RequestError."""
        return fit_square(read_picture(Path(photos[0])), CANVAS_PX) if photos else None

    def find(self, photos: Sequence[str] | None, class_name: str, prompt: str) -> np.ndarray:
        """uint8 (H, W): 255 where Grounded-SAM finds the subject in the first photo. Raises RequestError."""
        return self.customizer.find_mask(_pictures(photos)[0], class_name or prompt).astype(np.uint8) * 255

    def draw(self, fields: Fields) -> Answer:
        """Draws, and writes to the folder. Raises RequestError."""
        photos = _pictures(fields.photos)
        assert fields.photos is not None  # there are photos
        first = int(fields.seed or 0)  # a field that was emptied gives None
        request = Request(
            subjects=photos,
            prompt=fields.prompt,
            seeds=tuple(range(first, first + int(fields.num_images))),
            class_name=fields.class_name,
            mask=_mask(fields, photos[0]),
            depth=AUTO if fields.keep_structure else None,
            dino_scale=fields.strength_dino,
        )
        drawn = self.customizer.draw(request)
        sources = {
            "subjects": [Path(photo).name for photo in fields.photos],
            "mask": fields.region,
            "depth": AUTO if fields.keep_structure else "none",
        }
        written = write_results(self.output, request, drawn.images, settings_of(self.trained, request, sources))
        pictures = [str(path) for path in written.pictures]
        files = [*pictures, *([str(written.sheet)] if written.sheet else [])]
        words = f"{drawn.seconds_per_image:.2f} s per image"
        return Answer(pictures, files, f"{words}; {written.failed}" if written.failed else words)


def _pictures(photos: Sequence[str] | None) -> tuple[np.ndarray, ...]:
    if not photos:
        raise RequestError("subject: upload a photo of it first")
    return tuple(read_picture(Path(photo)) for photo in photos)


def _mask(fields: Fields, picture: np.ndarray) -> np.ndarray | None:
    if fields.region == REGIONS[0]:
        return None
    if fields.region == REGIONS[1]:
        return drawn_mask(fields.drawing, picture.shape)
    if fields.mask is None:
        raise RequestError("mask: there is none; upload it, or let the subject be found")
    return read_mask(Path(fields.mask))


def drawn_mask(drawing: dict[str, Any] | None, shape: tuple[int, ...]) -> np.ndarray:
    """Bool (H, W) of a picture of this shape (H, W, 3): where the editor's one layer is not transparent.

    The editor has no mask of its own, and gives no layer, or an empty one, where nothing is drawn. Raises RequestError
    there.
    """
    layers = (drawing or {}).get("layers") or []
    if not layers or not layers[0][..., 3].any():
        raise RequestError("mask: nothing is drawn; draw on the photo, upload a mask, or let the subject be found")
    return mask_of_picture(layers[0][..., 3] > 0, shape)
