"""Work on a run directory, of any job: one driver at a time, and Ctrl-C says what is kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toffee_pipeline.rundir.layout import TRIES
from toffee_pipeline.rundir.lease import LEASE_S, Lease
from toffee_pipeline.storage import Storage


@contextmanager
def at_work(
    storage: Storage, say: Callable[[str], None], kept: Callable[[], str], lease_s: float = LEASE_S
) -> Iterator[Lease]:
    """Holds the lease of a run that this job has claimed.

    Args:
        kept: says what of the work stays, once Ctrl-C has ended it.
        lease_s: as `Lease`.

    Raises:
        KeyboardInterrupt: with a line for the user.
        StorageError: the store does not honour what commits, or the lease, rest on.
        LeaseHeld, OSError: as `Lease`.
    """
    storage.check(f"{TRIES}check-{secrets.token_hex(8)}", swaps=lease_s > 0)
    try:
        with Lease(storage, lease_s, say) as lease:
            yield lease
    except KeyboardInterrupt as interrupt:
        line = f"stopped: {kept()} in {storage.uri}; run the same command again to go on"
        raise KeyboardInterrupt(line) from interrupt
