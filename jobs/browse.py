"""Serves a run to this machine's browser: all its rows, page by page, with their images and their whole story."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from toffee_pipeline.console.options import Job
from toffee_pipeline.console.say import say
from toffee_pipeline.report.serve import serve
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.option("--port", type=click.IntRange(0, 65_535), default=7861, show_default=True, help="Of the pages; 0: any.")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS.")
def main(run: str, port: int, endpoint_url: str | None) -> None:
    serve(open_storage(run, endpoint_url), port, say)


if __name__ == "__main__":
    main()
