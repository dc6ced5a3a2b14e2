"""rich's console, for printing to stdout."""

from __future__ import annotations

from rich.console import Console


class Stdout(Console):
    """Leaves it to the job what to do when nobody reads any more; rich would exit with code 1."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that rich has caught
