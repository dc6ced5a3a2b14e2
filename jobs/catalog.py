"""Looks after catalogues of classes and prompts and prompt banks, the package's own and yours."""

from __future__ import annotations

if __name__ == "__main__":  # the other imports take a second
    from toffee_pipeline.console import interrupt

    interrupt.while_importing()

import sys
from dataclasses import replace

import click

from toffee_pipeline.console.catalog import print_bank, print_bank_samples, print_catalog, print_problems
from toffee_pipeline.console.options import Job
from toffee_pipeline.console.say import say
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.plan.bank_check import BankCheck
from toffee_pipeline.plan.catalog import Catalog, load_catalog
from toffee_pipeline.plan.prompt_bank import PromptBank
from toffee_pipeline.plan.prompt_file import SUFFIXES
from toffee_pipeline.rundir.prompt_bank import scan_prompt_bank


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command(cls=Job)
@click.argument("file", metavar="FILE")
@click.option("--samples", type=click.IntRange(min=0), default=10, show_default=True, help="Prompts to draw and show.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the samples.")
@click.option("--catalog", default="toffee", show_default=True, help="The catalogue that a prompt bank stands beside.")
def check(file: str, samples: int, seed: int, catalog: str) -> None:
    """Says what is wrong with a catalogue or prompt bank, and what it holds: exit code 0 sound, 1 problems found, 2
    cannot be read.

    FILE is a YAML file of your own or the name of a catalogue of the package, or a prompt bank's .jsonl or .parquet.
    """
    if file.endswith(SUFFIXES):
        with_bank, sound = read_bank(file, load_catalog(catalog))
        if sound:
            print_bank_samples(with_bank, samples, seed)
    else:
        with_bank, sound = read_catalog(file), True
        print_catalog(with_bank, samples, seed)
    from toffee_pipeline.models.prompts import longest_prompt, too_long  # seconds
    from toffee_pipeline.models.tokenizers import clip_tokenizer

    tokenizer = clip_tokenizer()
    prompt, count = longest_prompt(with_bank, tokenizer)
    if count > tokenizer.model_max_length:
        print_problems(file, [too_long(prompt, count, tokenizer.model_max_length)])
        sys.exit(1)
    say(f"longest prompt: {count} of CLIP's {tokenizer.model_max_length} tokens: {prompt}")
    if not sound:
        sys.exit(1)


def read_catalog(name: str) -> Catalog:
    """Prints its problems and ends the job where there are any."""
    try:
        return load_catalog(name)
    except CatalogError as error:
        if not error.problems:
            raise
        print_problems(name, error.problems)
        sys.exit(1)


def read_bank(uri: str, catalog: Catalog) -> tuple[Catalog, bool]:
    """The catalogue with the sound rows of the bank, and whether all are; prints what there is to say."""
    found = BankCheck(scan_prompt_bank(uri), catalog)
    bank = PromptBank(found)
    print_bank(found.counts, bank.notes)
    print_problems(uri, found.problems, found.num_problems)
    return replace(catalog, bank=bank), not found.problems


if __name__ == "__main__":
    main()
