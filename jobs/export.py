"""Publishes a run's accepted pairs in other people's formats; the same command goes on after it was killed."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from toffee_pipeline.console.options import Job
from toffee_pipeline.export.export import Settings, export
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.export.splits import parse_splits
from toffee_pipeline.storage import open_storage

SPLITS = ("train=0.98", "validation=0.01", "test=0.01")


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What the files are.")
@click.option("--output", required=True, help="Directory of the export: a local path or s3://bucket/prefix.")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS, of the run and of the export.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    default=SPLITS,
    show_default=True,
    metavar="NAME=SHARE",
    help="Share of the subjects; repeatable, all shares add up to 1.",
)
@click.option(
    "--license", default="unknown", show_default=True, help="Of the dataset, as the Hugging Face hub spells it."
)
@click.option(
    "--part-mib", type=click.IntRange(min=1), default=512, show_default=True, help="Size of a part, and of its files."
)
def main(
    run: str, form: str, output: str, endpoint_url: str | None, splits: tuple[str, ...], license: str, part_mib: int
) -> None:
    settings = Settings(form, parse_splits(splits), license, part_mib * 2**20)
    target = open_storage(output, endpoint_url)
    num_rows = export(open_storage(run, endpoint_url), target, settings, click.echo)
    click.echo(f"{num_rows} pairs in {target.uri}")


if __name__ == "__main__":
    main()
