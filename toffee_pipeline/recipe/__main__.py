"""`python -m toffee_pipeline.recipe STEP`: trains the embedded networks; a killed step resumes."""

from __future__ import annotations

import os
from pathlib import Path

import click
import torch

from toffee_pipeline.recipe.data import render_data
from toffee_pipeline.recipe.pairs import render_pairs

WEIGHTS = Path(__file__).parent.parent / "nano" / "weights"


DEVICE = click.option("--device", default="cpu", show_default=True, callback=lambda *given: torch.device(given[-1]))
BATCH_SIZE = click.option("--batch-size", type=int, default=32, show_default=True)


@click.group(help=__doc__)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path(".nano"), show_default=True)
@click.option("--threads", type=int, default=os.cpu_count(), show_default="CPU cores")
@click.pass_context
def main(context: click.Context, work_dir: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    work_dir.mkdir(parents=True, exist_ok=True)
    context.obj = work_dir


@main.command()
@click.option("--views", type=int, default=48_000, show_default=True, help="Images: four views a subject.")
@click.option("--photos", type=int, default=40_000, show_default=True, help="Images: one a subject.")
@click.option("--told-photos", type=int, default=24_000, show_default=True, help="Images: one a subject.")
@click.option("--pairs", type=int, default=6_100, show_default=True, help="Subjects: eleven images each.")
@click.option("--processes", type=int, default=os.cpu_count(), show_default="CPU cores")
@click.pass_obj
def data(work_dir: Path, views: int, photos: int, told_photos: int, pairs: int, processes: int) -> None:
    """Render the training sets."""
    render_data(work_dir, "views", views, processes)
    render_data(work_dir, "photos", photos, processes)
    render_data(work_dir, "told_photos", told_photos, processes)
    render_pairs(work_dir, pairs, processes)


@main.command()
@click.option("--steps", type=int, default=9_000, show_default=True)
@click.pass_obj
def vae(work_dir: Path, steps: int) -> None:
    """Train the VAE."""
    from toffee_pipeline.recipe.vae import train_vae

    train_vae(work_dir, WEIGHTS, steps)


@main.command()
@click.option("--steps", type=int, default=2_200, show_default=True)
@click.pass_obj
def dino(work_dir: Path, steps: int) -> None:
    """Train DINO."""
    from toffee_pipeline.recipe.dino import train_dino

    train_dino(work_dir, WEIGHTS, steps)


@main.command()
@click.option("--steps", type=int, default=11_000, show_default=True)
@DEVICE
@click.pass_obj
def filter_clip(work_dir: Path, steps: int, device: torch.device) -> None:
    """Train the filter's CLIP (needs CLIP's text)."""
    from toffee_pipeline.recipe.filter_clip import train_filter_clip

    train_filter_clip(work_dir, WEIGHTS, steps, device)


@main.command()
@click.option("--steps", type=int, default=3_000, show_default=True)
@DEVICE
@click.pass_obj
def filter_dino(work_dir: Path, steps: int, device: torch.device) -> None:
    """Train the filter's DINO (needs DINO)."""
    from toffee_pipeline.recipe.filter_dino import train_filter_dino

    train_filter_dino(work_dir, WEIGHTS, steps, device)


@main.command()
@click.option("--text-steps", type=int, default=600, show_default=True, help="Both towers.")
@click.option("--image-steps", type=int, default=900, show_default=True, help="Then the image tower alone.")
@click.pass_obj
def clip(work_dir: Path, text_steps: int, image_steps: int) -> None:
    """Train CLIP and its tokenizer."""
    from toffee_pipeline.recipe.clip import train_clip

    train_clip(work_dir, WEIGHTS, text_steps, image_steps)


@main.command()
@click.option("--steps", type=int, default=2_200, show_default=True)
@click.pass_obj
def detector(work_dir: Path, steps: int) -> None:
    """Train the detector (needs CLIP's tokenizer)."""
    from toffee_pipeline.recipe.detector import train_detector

    train_detector(work_dir, WEIGHTS, steps)


@main.command()
@click.option("--steps", type=int, default=3_000, show_default=True)
@click.pass_obj
def depth(work_dir: Path, steps: int) -> None:
    """Train the depth network."""
    from toffee_pipeline.recipe.depth import train_depth

    train_depth(work_dir, WEIGHTS, steps)


@main.command()
@click.option("--steps", type=int, default=1_800, show_default=True)
@click.pass_obj
def segmenter(work_dir: Path, steps: int) -> None:
    """Train the segmenter."""
    from toffee_pipeline.recipe.segmenter import train_segmenter

    train_segmenter(work_dir, WEIGHTS, steps)


@main.command()
@click.option("--steps", type=int, default=12_000, show_default=True, help="On photos; 0: from the embedded weights.")
@click.option(
    "--told-steps", type=int, default=2_000, show_default=True, help="Then on photos whose captions tell all."
)
@BATCH_SIZE
@DEVICE
@click.pass_obj
def text_to_image(work_dir: Path, steps: int, told_steps: int, batch_size: int, device: torch.device) -> None:
    """Train text to image (needs CLIP and the VAE)."""
    from toffee_pipeline.recipe.text_to_image import train_text_to_image

    train_text_to_image(work_dir, WEIGHTS, steps, told_steps, batch_size, device)


@main.command()
@click.option("--steps", type=int, default=3_000, show_default=True, help="On photos; 0: from the embedded weights.")
@click.option(
    "--told-steps", type=int, default=1_500, show_default=True, help="Then on photos whose captions tell all."
)
@BATCH_SIZE
@DEVICE
@click.pass_obj
def controlnet(work_dir: Path, steps: int, told_steps: int, batch_size: int, device: torch.device) -> None:
    """Train the depth ControlNet (needs text to image)."""
    from toffee_pipeline.recipe.controlnet import train_controlnet

    train_controlnet(work_dir, WEIGHTS, steps, told_steps, batch_size, device)


@main.command()
@click.argument("network", type=click.Choice(["refiner", "view_generator", "toffeenet"]))
@click.argument("run", type=click.Path(path_type=Path, exists=True))
def adopt(network: str, run: Path) -> None:
    """Take the result of a training job's RUN into the package."""
    from toffee_pipeline.recipe import adopt as step

    step.adopt(network, run, WEIGHTS)
    if network == "refiner":
        for name, value in step.refiner_psnr_db(run).items():
            click.echo(f"{name} {value:.1f}")


@main.command()
@click.argument("network", type=click.Choice(["text-to-image", "controlnet", "view-generator"]))
@click.pass_obj
def measure(work_dir: Path, network: str) -> None:
    """Print how well NETWORK draws on held-out subjects, and write its pictures to the work folder."""
    from toffee_pipeline.recipe import measure as step

    if network == "view-generator":
        figures, images = step.measure_view_generator()
    elif network == "controlnet":
        figures, images = step.measure_controlnet(work_dir)
    else:
        figures, images = step.measure_text_to_image(work_dir)
    for name, value in figures.items():
        click.echo(f"{name} {value:.3f}")
    path = work_dir / f"{network}.png"
    step.write_sheet(images, path)
    click.echo(f"pictures: {path}")


@main.command()
def calibrate() -> None:
    """Print the filter thresholds that the trained encoders call for, and what they keep and refuse."""
    from toffee_pipeline.recipe import calibrate as step

    for name, (threshold, verdicts) in step.calibrate().items():
        click.echo(f"{name} {threshold:.2f}")
        for kind, share in verdicts.passed(threshold).items():
            click.echo(f"  {kind}: {share:.1%} pass")
        for kind, share in verdicts.refused(threshold).items():
            click.echo(f"  {kind}: {share:.1%} are refused")


if __name__ == "__main__":
    main()
