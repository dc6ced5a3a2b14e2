"""When a Dataset that ended by an error is planned again: where a process was lost, as long as the run gets on."""

from __future__ import annotations

MAX_IN_A_ROW = 3
"""Datasets that end so without a shard between them: what takes the processes is then no accident."""


def is_failed_start(error: BaseException) -> bool:
    """Whether an actor raised something when it was made; Ray tells what as text alone."""
    from ray.exceptions import RayActorError

    return isinstance(error, RayActorError) and error.actor_init_failed


def is_lost_process(error: BaseException) -> bool:
    """Whether Ray lost a process, or what one has made, and no code of ours raised anything."""
    from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError

    lost = (NodeDiedError, ObjectLostError, RayActorError, WorkerCrashedError)
    return isinstance(error, lost) and not is_failed_start(error)


class Losses:
    """Counts Datasets that ended by a lost process, or waited in vain although no node was gone."""

    def __init__(self) -> None:
        self._in_a_row, self._left = 0, -1

    def too_many(self, left: int) -> bool:
        """One more has ended, with so many shards of the run left."""
        self._in_a_row = self._in_a_row + 1 if left == self._left else 1
        self._left = left
        return self._in_a_row >= MAX_IN_A_ROW
