"""Ctrl-C while a job is still importing what it needs. Imports nothing but the standard library's signals."""

from __future__ import annotations

import os
import signal
from types import FrameType

CODE = 128 + signal.SIGINT


def while_importing() -> None:
    """From here until `command_runs`, Ctrl-C ends the process with one line. A job's script calls it first of all."""
    signal.signal(signal.SIGINT, _end)


def command_runs() -> None:
    """Gives Ctrl-C back to Python, which raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(CODE)  # an exception could be swallowed, or wrapped, by whatever is just being imported
