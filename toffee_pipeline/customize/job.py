"""The body of jobs/customize.py: from files to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from toffee_pipeline.customize.inputs import read_depth, read_mask, read_picture
from toffee_pipeline.customize.request import AUTO, Request
from toffee_pipeline.customize.results import settings_of, sheet_path, write_pictures, write_sheet
from toffee_pipeline.errors import RequestError, SampleError
from toffee_pipeline.rundir.trained import Trained

NONE = "none"


def customize(
    trained: Trained,
    output: Path,
    *,
    subject: Sequence[str],
    prompt: str | None,
    class_name: str,
    mask: str,
    depth: str,
    strength_dino: float,
    guidance_dino: float | None,
    num_images: int,
    seed: int,
) -> None:
    """Draws what is asked for, writes it to the folder `output` and says where and how long it took.

    Raises RequestError where a picture, mask or prompt is at fault, also after writing the others where single images
    failed.
    """
    if not subject or prompt is None:
        raise RequestError(f"{'--prompt' if subject else '--subject'} is missing: what is to be drawn, and of what")
    request = Request(
        subjects=tuple(read_picture(Path(path)) for path in subject),
        prompt=prompt,
        seeds=tuple(range(seed, seed + num_images)),
        class_name=class_name,
        mask=AUTO if mask == AUTO else None if mask == NONE else read_mask(Path(mask)),
        depth=AUTO if depth == AUTO else None if depth == NONE else read_depth(Path(depth)),
        dino_scale=strength_dino,
        dino_guidance_scale=guidance_dino,
    )
    from toffee_pipeline.customize.customizer import Customizer  # seconds, which a mistake above should not cost

    drawn = Customizer(trained).draw(request)
    images = [image for image in drawn.images if not isinstance(image, SampleError)]
    sources = {"subjects": [Path(path).name for path in subject], "mask": _name(mask), "depth": _name(depth)}
    paths = write_pictures(output, drawn.images, request.seeds, settings_of(trained, request, sources))
    for path in paths:
        click.echo(path)
    if len(paths) > 1:
        write_sheet(sheet_path(paths[0]), request, images, edited=request.mask is not None)
        click.echo(sheet_path(paths[0]))
    click.echo(f"{drawn.seconds_per_image:.2f} s per image")
    if failed := [image for image in drawn.images if isinstance(image, SampleError)]:
        raise RequestError(f"{len(failed)} of {num_images} images failed: {failed[0]}")


def _name(choice: str) -> str:
    return choice if choice in (AUTO, NONE) else Path(choice).name
