"""Shows where a run stands, from its directory alone: exit code 0, or 2 where it cannot be read."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import click

from toffee_pipeline.console.options import Job, stop_politely
from toffee_pipeline.console.say import say
from toffee_pipeline.console.status import follow
from toffee_pipeline.rundir.status import Follower
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.option("--watch", is_flag=True, help="Go on until the run has finished, or Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds between two looks."
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON per look.")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS.")
@click.option(
    "--price-per-gpu-hour", type=click.FloatRange(min=0), help="In your currency; the run's config has the default."
)
def main(
    run: str, watch: bool, interval: float, as_json: bool, endpoint_url: str | None, price_per_gpu_hour: float | None
) -> None:
    try:
        follower = Follower(open_storage(run, endpoint_url), price_per_gpu_hour, lambda line: say(line, err=True))
        follow(follower, interval if watch else None, as_json)
    except KeyboardInterrupt:
        stop_politely("no longer watching; the run goes on")


if __name__ == "__main__":
    main()
