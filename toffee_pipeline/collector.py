"""Python's collector of reference cycles, while a process imports libraries and builds networks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Half a million objects are made there that stay: to look through them for cycles again and again takes a fifth of
    a stage's start. What cycles there were are found afterwards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
