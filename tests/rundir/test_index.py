"""The index of a finished run, which is read where it was not written."""

import os
import subprocess
import sys

import pytest

from tests.helpers.handed_over import change_json
from tests.helpers.planned_run import write_finished_run
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.index import read_index
from toffee_pipeline.rundir.layout import manifest_key
from toffee_pipeline.storage import LocalStorage

pytestmark = pytest.mark.slow

WRITE = """
import sys
from toffee_pipeline.rundir.description import read_pairs
from toffee_pipeline.rundir.index import write_index
from toffee_pipeline.storage import LocalStorage
storage = LocalStorage(sys.argv[1])
print(sum(1 for _ in write_index(storage, read_pairs(storage))))
"""


def test_it_is_utf8_whatever_the_locale_says(tmp_path):
    storage = LocalStorage(str(tmp_path / "run"))
    write_finished_run(storage, 8)
    change_json(tmp_path / "run" / manifest_key(1), lambda manifest: manifest.update(attempt="café"))
    ascii_only = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", WRITE, storage.uri], env=ascii_only, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    manifests, _ = read_index(storage, read_pairs(storage).num_rows)
    assert [manifest.attempt for manifest in manifests][1] == "café"
