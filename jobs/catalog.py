"""Looks after catalogues of classes and prompts, the package's own and yours."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import sys

import click

from toffee_pipeline.console.catalog import print_catalog, print_problems
from toffee_pipeline.console.options import Job
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.plan.catalog import load_catalog


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command(cls=Job)
@click.argument("catalog", metavar="FILE")
@click.option("--samples", type=click.IntRange(min=0), default=10, show_default=True, help="Subjects to draw and show.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the samples.")
def check(catalog: str, samples: int, seed: int) -> None:
    """Says what is wrong with a catalogue, and what it holds: exit code 0 sound, 1 problems found, 2 cannot be read.

    FILE is a YAML file of your own, or the name of a catalogue of the package.
    """
    try:
        loaded = load_catalog(catalog)
    except CatalogError as error:
        if not error.problems:
            raise
        print_problems(catalog, error.problems)
        sys.exit(1)
    from toffee_pipeline.models.prompts import clip_tokenizer, longest_prompt, too_long  # seconds

    tokenizer = clip_tokenizer()
    prompt, count = longest_prompt(loaded, tokenizer)
    print_catalog(loaded, samples, seed)
    if count > tokenizer.model_max_length:
        print_problems(catalog, [too_long(prompt, count, tokenizer.model_max_length)])
        sys.exit(1)
    click.echo(f"longest prompt: {count} of CLIP's {tokenizer.model_max_length} tokens: {prompt}")


if __name__ == "__main__":
    main()
