"""Lines for a terminal. Whatever stands in them, of hosts, files, classes and errors of others, can only be read."""

from __future__ import annotations

import click

from toffee_pipeline.printable import printable


def say(line: object, err: bool = False) -> None:
    """Prints a line, as `printable`; to stderr if `err`."""
    click.echo(printable(str(line)), err=err)
