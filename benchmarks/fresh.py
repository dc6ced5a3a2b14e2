"""What the benchmarks share: a measurement in a process of its own, and that process's peak memory."""

from __future__ import annotations

import multiprocessing
import re
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from actors.measure.with_parent import end_with_parent

Result = TypeVar("Result")
MIB = 2**20


def in_fresh_process(function: Callable[..., Result], *args: Any) -> Result:
    """`function(*args)` in a new interpreter, so that no measurement inherits memory, models or a Ray session.

    function: importable by name. What it prints goes to stderr: stdout is for the table.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        return pool.submit(_quietly, function, *args).result()


def _quietly(function: Callable[..., Result], *args: Any) -> Result:
    with redirect_stdout(sys.stderr):
        return function(*args)


def peak_rss_bytes(process: int | str = "self") -> int:
    """Most memory that a process has ever held resident (Linux). process: its id, by default this one; 0 of one that
    has just ended.

    Not `ru_maxrss`: that starts at what the parent held when it forked, however small the child is.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 if found else 0
