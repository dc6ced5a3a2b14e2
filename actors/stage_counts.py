"""What the stages of all actors have done so far."""

from __future__ import annotations

from collections import defaultdict


class StageCounts:
    """Rows and seconds per stage. Stages report here after each micro-batch; on Ray it is an actor."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = defaultdict(int)
        self._seconds: dict[str, float] = defaultdict(float)

    def add(self, stage: str, rows: int, seconds: float) -> None:
        self._rows[stage] += rows
        self._seconds[stage] += seconds

    def snapshot(self) -> dict[str, tuple[int, float]]:
        return {stage: (self._rows[stage], self._seconds[stage]) for stage in self._rows}
