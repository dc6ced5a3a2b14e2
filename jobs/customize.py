"""Draws the subject of a photo as a prompt asks, or edits the photo, with a trained ToffeeNet."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

from pathlib import Path
from typing import Any

import click

from toffee_pipeline.console.options import Job
from toffee_pipeline.customize.job import customize
from toffee_pipeline.customize.page import serve as serve_page
from toffee_pipeline.rundir.trained import find_toffeenet


@click.command(cls=Job, help=__doc__)
@click.option(
    "--model", required=True, metavar="RUN", help="Run of jobs/train_toffeenet.py, its model folder, or nano."
)
@click.option("--subject", multiple=True, metavar="FILE", help="Photo of the subject; repeat it for several of one.")
@click.option("--prompt", multiple=True, help="What is to be drawn; repeatable.")
@click.option("--class-name", default="", help="What the subject is, where Grounded-SAM looks for it; else the prompt.")
@click.option("--mask", default="none", show_default=True, metavar="auto|FILE|none", help="What of the photo to edit.")
@click.option("--depth", default="none", show_default=True, metavar="auto|FILE|none", help="Structure to keep.")
@click.option("--strength-dino", type=click.FloatRange(0, 2), default=0.8, show_default=True, help="Lambda.")
@click.option("--guidance-dino", type=click.FloatRange(0, 100), help="Guides the subject apart from the text.")
@click.option("--num-images", type=click.IntRange(1, 1000), default=4, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**62), default=0, show_default=True, help="Of the first image.")
@click.option("--output", default="runs/customized", show_default=True, help="Folder of the images.")
@click.option("--serve", is_flag=True, help="Serve a page for this machine instead: upload, draw, generate, edit.")
@click.option("--port", type=click.IntRange(1, 65_535), default=7860, show_default=True, help="Of the page.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the training's config.")
def main(model: str, overrides: tuple[str, ...], output: str, serve: bool, port: int, **asked: Any) -> None:
    trained = find_toffeenet(model, overrides)
    if serve:
        serve_page(trained, Path(output), port)
    else:
        customize(trained, Path(output), **asked)


if __name__ == "__main__":
    main()
