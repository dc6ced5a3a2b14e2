"""What Ray's processes need to read training data."""

import pickle
import subprocess
import sys

import pytest

from tests.helpers.training import make_config, make_reader
from toffee_pipeline.config.train import RefinerTraining, ToffeeNetTraining, ViewGeneratorTraining

pytestmark = pytest.mark.slow

READS = """
import pickle, sys
from toffee_pipeline.train import launch, ray_data
for reader in pickle.load(sys.stdin.buffer):
    next(reader.blocks(0, 0))
print(sorted({"torch", "diffusers", "transformers", "open_clip"} & sys.modules.keys()))
"""


def test_a_process_that_reads_loads_no_model_library(pairs):
    of_run = f"data.sources=[{{format: run, path: '{pairs}'}}]"
    jobs = ((RefinerTraining, of_run), (ViewGeneratorTraining,), (ToffeeNetTraining, of_run))
    readers = pickle.dumps([make_reader(make_config(*job)) for job in jobs])
    done = subprocess.run([sys.executable, "-c", READS], input=readers, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split("\n")[0] == "[]"
