"""What a process of its own that measures does as it starts, so that it ends with the one which asked for it."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Where the parent is killed: this process may be another one's child, and would wait or compute on, and hold the
    lease of its run."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
