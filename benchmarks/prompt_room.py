"""How many different subject prompts a catalogue gives, counted two ways.

By counting: the room of every class, templates and words multiplied (`toffee_pipeline.plan.room`). By drawing: subjects
as a plan draws them, of which the different prompts are counted in constant memory, by a bitmap of 2^26 bits (8 MiB):
each prompt sets the bit that its hash names, and n prompts leave a share exp(-n / 2^26) of the bits empty ("linear
counting", Whang et al. 1990; at two million its standard error is below 0.03 %).
"""

from __future__ import annotations

import hashlib
import math
import time

import click
import numpy as np

from benchmarks.fresh import MIB, peak_rss_bytes
from toffee_pipeline.config.load import load_config
from toffee_pipeline.plan.catalog import PACKAGED
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.plan.room import distinct_subjects, room
from toffee_pipeline.plan.subjects import CatalogSubjects

BITS = 1 << 26


class DistinctCounter:
    """About how many different texts were added. Memory: `BITS` bits."""

    def __init__(self) -> None:
        self._bitmap = np.zeros(BITS // 8, np.uint8)

    def add(self, text: str) -> None:
        bit = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % BITS
        self._bitmap[bit >> 3] |= 1 << (bit & 7)

    def estimate(self) -> float:
        empty = BITS - int(np.bitwise_count(self._bitmap).sum())
        return -BITS * math.log(empty / BITS)


@click.command(help=__doc__)
@click.option("--catalog", default="toffee", show_default=True, help=f"{', '.join(PACKAGED)} or a YAML file.")
@click.option("--draws", default=2_000_000, show_default=True, help="Subjects.")
def main(catalog: str, draws: int) -> None:
    asked = (f"subjects.catalog={catalog}", f"pairs.count={draws}", "pairs.per_subject=1", "pairs.prompt_bank=null")
    config = load_config("sdxl", asked)
    plan = Plan(config)
    assert isinstance(plan.source, CatalogSubjects)
    rooms = {entry.name: sum(room(entry)) for entry in plan.catalog.classes}
    smallest, largest = (pick(rooms, key=rooms.__getitem__) for pick in (min, max))
    click.echo(
        f"room: {sum(rooms.values()):,} prompts of {len(rooms)} classes, from {rooms[smallest]:,} ({smallest}) "
        f"to {rooms[largest]:,} ({largest})"
    )
    expected = distinct_subjects(plan.catalog, plan.source.shares.expected())
    click.echo(f"expected of {draws:,} subjects: {expected:,.0f} different prompts, {expected / draws:.2%}")
    counter, began = DistinctCounter(), time.perf_counter()
    with click.progressbar(range(draws), label="drawing", update_min_steps=10_000) as numbers:
        for number in numbers:
            counter.add(plan.subject(number).prompt)
    found, seconds = counter.estimate(), time.perf_counter() - began
    click.echo(f"counted: {found:,.0f} different prompts, {found / draws:.2%}, in {seconds:.0f} s")
    click.echo(f"peak memory: {peak_rss_bytes() / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
