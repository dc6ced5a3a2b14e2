"""Runs the benchmarks that carry bars, one after the other, and makes `benchmarks/RESULTS.md` of what they found.

    python -m benchmarks.results                 # all that this machine can run
    python -m benchmarks.results scaling busy    # these alone: the other rows stay
    python -m benchmarks.results --page-only     # the page anew, of the files in benchmarks/results

Each writes its figures to a file of its own in `benchmarks/results`, with date and machine. What has no file there is
"not measured". Without a GPU those that need one are not run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.bars import BARS, BENCHMARKS, Bar

HERE = Path(__file__).parent
FOLDER, PAGE = HERE / "results", HERE / "RESULTS.md"
NOT_MEASURED = "not measured"
HEAD = """# Bars

Made by `make bench`: each row is a ratio, or a figure with its unit, in one run of its command; all of its
figures are in [`results/`](results). `make bench ARGS=scaling` runs one again and changes its rows alone.

| # | what | bar | measured | | conditions | date, machine | command |
|---|---|---|---|---|---|---|---|
"""


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """What each benchmark found, of those that have a file."""
    paths = {name: folder / f"{name}.json" for name in BENCHMARKS}
    return {name: json.loads(path.read_bytes()) for name, path in paths.items() if path.is_file()}


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of all bars, as Markdown."""
    return HEAD + "".join(_row(bar, results.get(bar.benchmark, {})) for bar in BARS)


def _row(bar: Bar, found: Mapping[str, Any]) -> str:
    value = found.get(bar.figure)
    cells = [str(bar.number), bar.what, str(bar)]
    if value is None:
        cells += [NOT_MEASURED, "", "", ""]
    else:
        met = "met" if bar.met(value) else "**missed**"
        cells += [f"{value:.3f}", met, found.get("conditions", ""), f"{found['date']}, {_machine(found)}"]
    return f"| {' | '.join([*cells, f'`{BENCHMARKS[bar.benchmark].command}`'])} |\n"


def _machine(found: Mapping[str, Any]) -> str:
    card, rate = found.get("card", "CPU"), found.get("measured_bf16_matrix_tflop_per_s")
    gpu = "no GPU" if card == "CPU" else f"{card} ({rate:.0f} TFLOP/s in bfloat16 products)"
    return f"{found['cpu']}, {found['cores']} cores, {gpu}; torch {found['torch']}, ray {found['ray']}"


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--page-only", is_flag=True, help="Run nothing.")
def main(names: tuple[str, ...], page_only: bool) -> None:
    gpu, failed = not page_only and has_gpu(), []
    for name in () if page_only else names or tuple(BENCHMARKS):
        benchmark = BENCHMARKS[name]
        if benchmark.gpu and not gpu:
            click.echo(f"{name}: needs a GPU, not run")
            continue
        words = ["-m", f"benchmarks.{benchmark.module}", *benchmark.arguments.split()]
        click.echo(benchmark.command)
        partial = FOLDER / f"{name}.json.partial"  # what was found before stays until this is complete
        if subprocess.run([sys.executable, *words, "--json", str(partial)], check=False).returncode:
            failed.append(name)
        else:
            partial.replace(FOLDER / f"{name}.json")
            PAGE.write_text(page(read_results(FOLDER)))
    PAGE.write_text(page(read_results(FOLDER)))
    click.echo(str(PAGE))
    if failed:
        raise click.ClickException(f"failed, their rows are as before: {', '.join(failed)}")


if __name__ == "__main__":
    main()
