"""What `ray job submit --working-dir .` uploads, packed by Ray's own code."""

import shutil
import subprocess
from zipfile import ZipFile

import pytest
from ray._private.runtime_env.packaging import create_package

from tests.helpers.examples import ROOT

MIB = 2**20
CODE_BYTES = 3 * MIB
"""Bound for code and words alone; each piece of litter would be a MiB more."""
LITTER = (
    ".git/objects/pack",
    ".venv/lib/big",
    ".nano/cache",
    "runs/demo/data",
    "weights/hub",
    "wandb/run",
    "build/lib",
)


@pytest.fixture(scope="module")
def working_dir(tmp_path_factory):
    """The tracked files, and beside them what a working copy collects."""
    folder = tmp_path_factory.mktemp("working-dir")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for name in LITTER:
        (folder / name).mkdir(parents=True)
        (folder / name / "big.bin").write_bytes(bytes(MIB))
    (folder / ".env").write_text("SECRET=1")
    return folder


def pack(folder, target, excludes=()):
    create_package(str(folder), target, include_gitignore=True, excludes=list(excludes))
    with ZipFile(target) as package:
        return {item.filename: item.file_size for item in package.infolist() if not item.is_dir()}


def test_code_and_nano_weights_travel_and_nothing_else(working_dir, tmp_path):
    sent = pack(working_dir, tmp_path / "package.zip")
    assert {name.split("/")[0] for name in sent if "/" in name} == {"toffee_pipeline", "actors", "jobs"}
    assert ".env" not in sent
    weights = sum(size for name, size in sent.items() if name.startswith("toffee_pipeline/nano/weights/"))
    assert weights > 10 * MIB
    assert sum(sent.values()) - weights < CODE_BYTES
    assert (tmp_path / "package.zip").stat().st_size < 64 * MIB


def test_a_job_with_real_models_can_leave_nano_weights_behind(working_dir, tmp_path):
    sent = pack(working_dir, tmp_path / "package.zip", ["toffee_pipeline/nano/weights"])
    assert not any("/weights/" in name for name in sent)
    assert {"jobs/generate.py", "toffee_pipeline/profiles/generate/sdxl.yaml", "pyproject.toml"} <= set(sent)
    assert (tmp_path / "package.zip").stat().st_size < CODE_BYTES
