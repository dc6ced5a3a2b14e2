"""The user's images belong to a run: it goes on with the same files only, and is checked without them."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from actors.read import Read
from jobs import verify
from jobs.generate import generate
from tests.helpers.stub_stages import STUB_STAGES
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.plan import catalog as catalogs
from toffee_pipeline.plan.prompt_row import PromptRow
from toffee_pipeline.rundir.layout import SUMMARY, manifest_key
from toffee_pipeline.rundir.prompt_bank import write_prompt_bank
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


def write_bank(path, *places):
    told = {"category": "background", "source": "hand-written", "license": "CC0-1.0"}
    write_prompt_bank(str(path), [PromptRow.model_validate({**told, "change": place}) for place in places])


def test_a_catalogue_or_a_prompt_bank_that_is_edited_while_a_run_goes_on_ends_it(nano, tmp_path):
    """Each actor plans for itself: one that started later would put other prompts under the ids of the plan."""
    catalog, bank, output = tmp_path / "mine.yaml", tmp_path / "bank.jsonl", str(tmp_path / "run")
    words = (Path(catalogs.__file__).parent / "catalogs/nano.yaml").read_text()
    catalog.write_text(words)
    write_bank(bank, "in a ruined chapel")
    config = nano("subjects.source=synthesis", f"subjects.catalog={catalog}", f"pairs.prompt_bank={bank}")
    generate(config, output, stages=STUB_STAGES)
    Read(config, output)

    catalog.write_text(words + "# a remark\n")
    named = f"subjects.catalog={catalog} or pairs.prompt_bank={bank} has changed since the run began"
    with pytest.raises(RunMismatch, match=re.escape(named)) as caught:
        Read(config, output)
    assert "\n" not in str(caught.value)
    catalog.write_text(words)
    write_bank(bank, "in a ruined chapel", "under a paper lantern")
    with pytest.raises(RunMismatch, match=re.escape(named)):
        Read(config, output)
