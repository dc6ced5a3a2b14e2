"""The user's images belong to a run: it goes on with the same files only, and is checked without them."""

import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from jobs import verify
from jobs.generate import generate
from tests.helpers.stub_stages import STUB_STAGES
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.rundir.layout import SUMMARY, manifest_key
from toffee_pipeline.storage import open_storage


@pytest.fixture
def photos(tmp_path):
    for name, grey in {"dog/0.png": 60, "dog/1.png": 120, "teapot/0.png": 180}.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), grey, np.uint8)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def add(photos):
    shutil.copy(photos / "dog/0.png", photos / "dog/2.png")
    return "dog/2.png: new"


def remove(photos):
    (photos / "teapot/0.png").unlink()
    return "teapot/0.png: not there any more"


def replace(photos):
    Image.fromarray(np.full((64, 64, 3), 61, np.uint8)).save(photos / "dog/1.png")
    os.utime(photos / "dog/1.png", ns=(0, 0))
    return "dog/1.png: was "


@pytest.mark.parametrize("change", [add, remove, replace])
def test_a_run_goes_on_with_the_same_files_only_and_is_checked_without_them(nano, photos, tmp_path, change):
    output = str(tmp_path / "run")
    words = ("subjects.source=folder", f"subjects.path={photos}", "pairs.per_subject=2", "subjects_per_shard=2")
    config, storage = nano(*words), open_storage(output)
    assert generate(config, output, stages=STUB_STAGES).planned == 8
    for key in (manifest_key(1), SUMMARY):
        storage.delete(key)
    words = change(photos)
    with pytest.raises(RunMismatch, match=f"holds a run of other images: {words}"):
        generate(config, output, stages=STUB_STAGES)
    shutil.rmtree(photos)
    result = CliRunner().invoke(verify.main, [output], catch_exceptions=False)
    assert "_manifests/shard-000001.json: not there, not committed" in result.output
    assert "1 orphans" in result.output or "left by a try that died" in result.output
