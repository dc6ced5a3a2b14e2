"""Measures what the stages of a config cost: seconds, memory and the largest micro-batch, stage after stage.

`jobs/generate.py --set measurements=FILE` then goes by it, and its `--dry-run` prints a plan of costs.
"""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

from pathlib import Path

import click

from actors.measure.run import measure, with_random_weights
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.console.measurements import heading, line
from toffee_pipeline.console.options import Job, config_options
from toffee_pipeline.console.say import say
from toffee_pipeline.models.roles import require_weights


@click.command(cls=Job, help=__doc__)
@config_options(default_config="nano")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="measurements.json",
    show_default=True,
    help="The file to write.",
)
@click.option("--random-weights", is_flag=True, help="Published architectures with random weights for pretrained ones.")
@click.option("--pairs", type=click.IntRange(1), default=64, show_default=True, help="Of the plan's first ones.")
@click.option(
    "--max-batch-size",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    help="Largest micro-batch that the probe tries; 0 leaves it out.",
)
def main(config: RunConfig, output: Path, random_weights: bool, pairs: int, max_batch_size: int) -> None:
    if random_weights:
        config = with_random_weights(config)
    require_weights(config)
    output.parent.mkdir(parents=True, exist_ok=True)  # measuring takes an hour, and its figures are written last
    say(heading())
    found = measure(config, pairs, max_batch_size, lambda name, stage: say(line(name, stage)))
    output.write_bytes(found.encode())
    say(f"{found.num_pairs} pairs on {found.device}: {output}")


if __name__ == "__main__":
    main()
