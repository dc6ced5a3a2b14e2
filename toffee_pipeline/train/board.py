"""What the driver and the workers of a training tell each other."""

from __future__ import annotations

from typing import Any


class Board:
    """On Ray it is an actor."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.failure = ""
        self.stop_asked = False

    def post(self, figures: dict[str, Any]) -> bool:
        """Rank 0's progress. Returns whether to stop."""
        self.figures = figures
        return self.stop_asked

    def fail(self, message: str) -> None:
        self.failure = self.failure or message

    def stop(self) -> None:
        self.stop_asked = True

    def snapshot(self) -> tuple[dict[str, Any], str]:
        return self.figures, self.failure

    def stopping(self) -> bool:
        return self.stop_asked
