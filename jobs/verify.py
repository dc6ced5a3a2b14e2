"""Re-reads a whole run directory and checks it: exit code 0 sound, 1 problems found, 2 cannot be read."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import sys

import click

from toffee_pipeline.console.options import Job
from toffee_pipeline.console.say import say
from toffee_pipeline.console.verify import print_report
from toffee_pipeline.rundir.verify import repair, verify
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS.")
@click.option(
    "--repair",
    "do_repair",
    is_flag=True,
    help="Delete orphans and take damaged shards back, so that jobs/generate.py computes just those again.",
)
@click.option(
    "--repair-failed",
    is_flag=True,
    help="As --repair, and take back the shards in which pairs failed, where a machine was at fault and no pair.",
)
def main(run: str, endpoint_url: str | None, do_repair: bool, repair_failed: bool) -> None:
    storage = open_storage(run, endpoint_url)
    report = repair(storage, say, repair_failed) if do_repair or repair_failed else verify(storage)
    print_report(report, storage)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
