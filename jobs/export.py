"""Publishes a run's accepted pairs in other people's formats; the same command goes on after it was killed."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

from pathlib import Path

import click

from toffee_pipeline.console.options import Job
from toffee_pipeline.console.say import say
from toffee_pipeline.export.export import Settings, export
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.export.sign import load_signer
from toffee_pipeline.export.splits import parse_splits
from toffee_pipeline.storage import open_storage

SPLITS = ("train=0.98", "validation=0.01", "test=0.01")


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What the files are.")
@click.option("--output", required=True, help="Directory of the export: a local path or s3://bucket/prefix.")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS, of the run and of the export.")
@click.option("--split", "splits", multiple=True, default=SPLITS, show_default=True, help="NAME=SHARE of the subjects.")
@click.option("--license", default="unknown", show_default=True, help="Of the dataset, as the hub spells it.")
@click.option("--c2pa-certificate", type=Path, help="PEM; every file gets a signed C2PA manifest beside it.")
@click.option("--c2pa-key", type=Path, help="Its private key, PEM.")
@click.option(
    "--part-mib", type=click.IntRange(min=1), default=512, show_default=True, help="Size of a part, and of its files."
)
def main(
    run: str,
    form: str,
    output: str,
    endpoint_url: str | None,
    splits: tuple[str, ...],
    license: str,
    c2pa_certificate: Path | None,
    c2pa_key: Path | None,
    part_mib: int,
) -> None:
    signer = load_signer(c2pa_certificate, c2pa_key)
    settings = Settings(form, parse_splits(splits), license, part_mib * 2**20, signer)
    target = open_storage(output, endpoint_url)
    num_rows = export(open_storage(run, endpoint_url), target, settings, say)
    say(f"{num_rows} pairs in {target.uri}")


if __name__ == "__main__":
    main()
