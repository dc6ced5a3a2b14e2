"""The body of jobs/customize.py: from files to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toffee_pipeline.collector import collector_paused
from toffee_pipeline.console.say import say
from toffee_pipeline.customize.inputs import read_depth, read_mask, read_picture
from toffee_pipeline.customize.request import AUTO, Request
from toffee_pipeline.customize.results import settings_of, write_results
from toffee_pipeline.errors import RequestError
from toffee_pipeline.rundir.trained import Trained

NONE = "none"


def customize(
    trained: Trained,
    output: Path,
    *,
    subject: Sequence[str],
    prompt: Sequence[str],
    class_name: str,
    mask: str,
    depth: str,
    strength_dino: float,
    guidance_dino: float | None,
    num_images: int,
    seed: int,
) -> None:
    """Draws what each prompt asks for, writes it to the folder `output` and says where and how long it took.

    Raises RequestError where a picture, mask or prompt is at fault, also after writing the others where single images
    failed.
    """
    if not subject or not prompt:
        raise RequestError(f"{'--prompt' if subject else '--subject'} is missing: what is to be drawn, and of what")
    first = Request(
        subjects=tuple(read_picture(Path(path)) for path in subject),
        prompt=prompt[0],
        seeds=tuple(range(seed, seed + num_images)),
        class_name=class_name,
        mask=AUTO if mask == AUTO else None if mask == NONE else read_mask(Path(mask)),
        depth=AUTO if depth == AUTO else None if depth == NONE else read_depth(Path(depth)),
        dino_scale=strength_dino,
        dino_guidance_scale=guidance_dino,
    )
    with collector_paused():
        from toffee_pipeline.customize.customizer import Customizer  # seconds, which a mistake above should not cost

        customizer = Customizer(trained)
    sources = {"subjects": [Path(path).name for path in subject], "mask": _name(mask), "depth": _name(depth)}
    failed = []
    for request in [replace(first, prompt=words) for words in prompt]:
        drawn = customizer.draw(request)
        written = write_results(output, request, drawn.images, settings_of(trained, request, sources))
        for path in [*written.pictures, *filter(None, [written.sheet])]:
            say(path)
        say(f"{drawn.seconds_per_image:.2f} s per image")
        failed += [written.failed] if written.failed else []
    if failed:
        raise RequestError("; ".join(failed))


def _name(choice: str) -> str:
    return choice if choice in (AUTO, NONE) else Path(choice).name
