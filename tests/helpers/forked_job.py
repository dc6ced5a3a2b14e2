"""A job's process that is forked from the test's: what it would import, for seconds of a core, is there already.

For jobs without networks: OpenMP's threads, which torch starts, are not there in a fork, and waited for.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ForkedJob:
    """`python SCRIPT WORDS...`, with these variables in its environment besides. script: below the project's root.

    stdout: a text stream of what it says, standard error included.
    """

    def __init__(self, script: str, *words: object, **environment: str) -> None:
        read, write = os.pipe()
        argv = [str(ROOT / script), *map(str, words)]
        self._process = multiprocessing.get_context("fork").Process(target=_run, args=(write, argv, environment))
        self._process.start()
        os.close(write)
        self.pid, self.stdout = self._process.pid, os.fdopen(read)

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def wait(self, timeout_s: float = 60) -> tuple[int | None, str]:
        """Its exit code, None while it runs on, and what it had still to say."""
        self._process.join(timeout_s)
        return self._process.exitcode, "" if self.running else self.stdout.read()


def _run(write: int, argv: list[str], environment: dict[str, str]) -> None:
    for stream in (1, 2):
        os.dup2(write, stream)
    os.close(write)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    os.environ |= environment
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")
