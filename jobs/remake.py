"""Makes one pair of a run again from its row and compares the pixels: exit code 0 same, 1 different, 2 cannot be done.

Only the pair, its subject and the pair that it turns round are computed, in this process.
"""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import sys

import click

from actors.remake import remake
from toffee_pipeline.console.options import Job
from toffee_pipeline.console.remake import print_differences
from toffee_pipeline.console.say import say
from toffee_pipeline.images import encode_png
from toffee_pipeline.rundir.image_difference import TOLERANCE, side_by_side
from toffee_pipeline.storage import open_storage


@click.command(cls=Job, help=__doc__)
@click.argument("run")
@click.argument("pair_id")
@click.option("--output", metavar="DIR", help="Write PAIR_ID.png there: stored, remade, and what differs.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 255),
    default=TOLERANCE,
    show_default=True,
    help="Mean difference of a picture, in grey levels of 0..255, up to which it counts as the same.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Instead of the run's.")
@click.option("--endpoint-url", help="S3-compatible storage other than AWS.")
def main(
    run: str, pair_id: str, output: str | None, tolerance: float, device: str | None, endpoint_url: str | None
) -> None:
    differences = remake(open_storage(run, endpoint_url), pair_id, device)
    print_differences(differences, tolerance)
    if output is not None:
        place = open_storage(output, endpoint_url)
        place.put(f"{pair_id}.png", encode_png(side_by_side(differences)))
        say(f"pictures: {place.path_for(f'{pair_id}.png')}")
    sys.exit(0 if all(difference.mean <= tolerance for difference in differences) else 1)


if __name__ == "__main__":
    main()
