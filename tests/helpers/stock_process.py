"""A process that has the libraries of this environment, and none of this project's code."""

import subprocess
import sys
from pathlib import Path

WITHOUT_PROJECT = """
import sys
sys.modules.update(dict.fromkeys(("toffee_pipeline", "actors", "jobs")))  # such an import raises
import torch
torch.set_num_threads(1)
exec(compile(sys.stdin.read(), "card", "exec"))
"""


def run_stock(code: str, folder: Path) -> None:
    """Runs Python code in a folder. Raises AssertionError, which tells what the process said, where it fails."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_PROJECT],
        input=code,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
