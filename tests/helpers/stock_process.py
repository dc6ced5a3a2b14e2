"""A process that has the libraries of this environment, and none of this project's code."""

import json
import subprocess
import sys
from pathlib import Path

WITHOUT_PROJECT = """
import gc, json, os, sys
gc.disable()  # a fifth of the imports' time
sys.modules.update(dict.fromkeys(("toffee_pipeline", "actors", "jobs")))  # such an import raises
import torch
torch.set_num_threads(1)
for folder, code in json.load(sys.stdin).items():
    os.chdir(folder)
    exec(compile(code, folder, "exec"), {})
"""


def run_stock(codes: dict[Path, str]) -> None:
    """Runs Python code in each of some folders, all in one process, whose imports take most of the time. Raises
    AssertionError, which tells what the process said, where it fails."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_PROJECT],
        input=json.dumps({str(folder): code for folder, code in codes.items()}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
