"""What the driver and the workers of a training tell each other."""

from __future__ import annotations

from typing import Any


class Mailbox:
    """On Ray it is an actor."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.failure = ""
        self.notes: list[str] = []
        self.stop_asked = False

    def report(self, figures: dict[str, Any]) -> bool:
        """Takes rank 0's figures of a step. Returns whether to stop."""
        self.figures = figures
        return self.stop_asked

    def fail(self, message: str) -> None:
        """Takes what ends the training; the first one counts."""
        self.failure = self.failure or message

    def note(self, line: str) -> None:
        """Something that the user should read although the job goes on."""
        self.notes.append(line)

    def take_notes(self) -> list[str]:
        taken, self.notes = self.notes, []
        return taken

    def ask_to_stop(self) -> None:
        self.stop_asked = True

    def last_figures(self) -> dict[str, Any]:
        """{} before the first step."""
        return self.figures

    def first_failure(self) -> str:
        """ "" where nothing failed."""
        return self.failure
