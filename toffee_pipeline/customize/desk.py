"""What the page's buttons do: from what stands in its fields to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from toffee_pipeline.customize.inputs import read_mask, read_picture
from toffee_pipeline.customize.request import AUTO, Request
from toffee_pipeline.customize.results import settings_of, sheet_path, write_pictures, write_sheet
from toffee_pipeline.customize.square import mask_of_picture
from toffee_pipeline.errors import RequestError, SampleError
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
    seed: int


class Answer(NamedTuple):
    """pictures: paths of PNG files. files: these, and a contact sheet of several. words: how long it took."""

    pictures: list[str]
    files: list[str]
    words: str


class Desk:
    """Holds the networks, and the folder to which pictures go."""

    def __init__(self, trained: Trained, output: Path) -> None:
        from toffee_pipeline.customize.customizer import Customizer

        self.trained, self.output = trained, output
        self.customizer = Customizer(trained)

    def canvas(self, photos: Sequence[str] | None) -> np.ndarray | None:
        """The first photo's centred square to draw on, uint8 (CANVAS_PX, CANVAS_PX, 3). Raises RequestError."""
        return fit_square(read_picture(Path(photos[0])), CANVAS_PX) if photos else None

    def find(self, photos: Sequence[str] | None, class_name: str, prompt: str) -> np.ndarray:
        """uint8 (H, W): 255 where Grounded-SAM finds the subject in the first photo. Raises RequestError."""
        return self.customizer.find_mask(_pictures(photos)[0], class_name or prompt).astype(np.uint8) * 255

    def draw(self, fields: Fields) -> Answer:
        """Draws, and writes to the folder. Raises RequestError, also where an image failed."""
        pictures = _pictures(fields.photos)
        assert fields.photos is not None  # there are pictures
        request = Request(
            subjects=pictures,
            prompt=fields.prompt,
            seeds=tuple(range(int(fields.seed), int(fields.seed) + int(fields.num_images))),
            class_name=fields.class_name,
            mask=_mask(fields, pictures[0]),
            depth=AUTO if fields.keep_structure else None,
            dino_scale=fields.strength_dino,
        )
        drawn = self.customizer.draw(request)
        images = [image for image in drawn.images if not isinstance(image, SampleError)]
        if len(images) < len(drawn.images):
            raise RequestError(f"{len(drawn.images) - len(images)} of {len(drawn.images)} images failed")
        sources = {
            "subjects": [Path(photo).name for photo in fields.photos],
            "mask": fields.region,
            "depth": AUTO if fields.keep_structure else "none",
        }
        paths = write_pictures(self.output, images, request.seeds, settings_of(self.trained, request, sources))
        files = list(paths)
        if len(paths) > 1:
            files.append(sheet_path(paths[0]))
            write_sheet(files[-1], request, images, edited=request.mask is not None)
        words = f"{drawn.seconds_per_image:.2f} s per image"
        return Answer([str(path) for path in paths], [str(path) for path in files], words)


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
