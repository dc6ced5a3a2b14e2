"""Decides anew which pairs of a finished run are accepted, from its ledger: no model, no GPU, no image is read."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.console.options import Job
from toffee_pipeline.console.say import say
from toffee_pipeline.report.of_view import write_report_of_view
from toffee_pipeline.rundir.refilter import refilter
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.option("--output", required=True, help="Directory of the view: a local path or s3://bucket/prefix.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a key, such as filter.min_clip.")
@click.option("--materialize", is_flag=True, help="Copy the accepted pairs into few files, which any reader opens.")
@click.option("--curve", is_flag=True, help="Also write a report, with what other thresholds would accept.")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS, of both.")
def main(
    run: str, output: str, overrides: tuple[str, ...], materialize: bool, curve: bool, endpoint_url: str | None
) -> None:
    settings = load_config((), overrides, RefilterConfig)
    source, target = open_storage(run, endpoint_url), open_storage(output, endpoint_url)
    refilter(source, target, settings, materialize, say)
    say(f"view: {target.uri}")
    if curve:
        say(f"report: {target.path_for(write_report_of_view(source, target))}")


if __name__ == "__main__":
    main()
