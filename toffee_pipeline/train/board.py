"""What the driver and the workers of a training tell each other."""

from __future__ import annotations

from typing import Any


class Board:
    """On Ray it is an actor."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.failure = ""
        self.notes: list[str] = []
        self.stop_asked = False

    def post(self, figures: dict[str, Any]) -> bool:
        """Rank 0's progress. Returns whether to stop."""
        self.figures = figures
        return self.stop_asked

    def fail(self, message: str) -> None:
        self.failure = self.failure or message

    def note(self, line: str) -> None:
        """Something that the user should read although the job goes on."""
        self.notes.append(line)

    def take_notes(self) -> list[str]:
        taken, self.notes = self.notes, []
        return taken

    def stop(self) -> None:
        self.stop_asked = True

    def progress(self) -> dict[str, Any]:
        return self.figures

    def why_failed(self) -> str:
        return self.failure
