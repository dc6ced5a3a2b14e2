"""What trainings and evaluations read of strangers, changed at random, as in `test_fuzz`."""

import json
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jobs import export
from tests.helpers.fuzzing import TRIES, bounded, changed, encoded, garbled, retell, retold
from tests.helpers.planned_run import write_finished_run
from tests.helpers.watched import nothing_touched_but
from toffee_pipeline.config.train import DataConfig
from toffee_pipeline.errors import BrokenFile, ImageError, PlanError, ToffeeError
from toffee_pipeline.plan.benchmark import Benchmark, BenchmarkSubject, Prompt, RealImage
from toffee_pipeline.storage import LocalStorage
from toffee_pipeline.train.data.sources import make_source

pytestmark = pytest.mark.slow


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def read_all(format: str, path: Path) -> None:
    """As a training does, which leaves out what is broken."""
    try:
        (config,) = DataConfig(sources=[{"format": format, "path": str(path)}]).sources
        source = make_source(config)
        for file in source.files():
            try:
                for record in source.read(file):
                    for decode in (*record.images.values(), record.mask, record.depth):
                        try:
                            if decode is not None:
                                decode()
                        except ImageError:
                            continue
            except BrokenFile:
                continue
    except (ToffeeError, OSError) as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("form", ["run", "huggingface", "webdataset", "imagefolder"])
def test_training_sources(form: str, tmp_path: Path, scratch: Path) -> None:
    whole = tmp_path / "run"
    write_finished_run(LocalStorage(str(whole)), 8)
    if form != "run":
        words = [str(whole), "--format", form, "--output", str(tmp_path / "export")]
        assert CliRunner().invoke(export.main, words).exit_code == 0
        whole = tmp_path / "export"
    names = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file())
    tables = [name for name in names if name.endswith(".parquet")]

    @TRIES
    @given(st.data())
    def tries(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            copy = Path(shutil.copytree(whole, Path(folder, "copy")))
            if tables and data.draw(st.booleans()):
                name = data.draw(st.sampled_from(tables))
                if form == "run":
                    retell(copy, name, data)
                else:
                    pq.write_table(data.draw(retold(pq.read_table(copy / name))), copy / name)
            else:
                path = copy / data.draw(st.sampled_from(names))
                path.write_bytes(data.draw(garbled(path.read_bytes())))
            with nothing_touched_but(copy, scratch):
                read_all("run" if form == "run" else "export", copy)

    bounded(tries)


def test_lists_of_a_benchmark() -> None:
    subjects = [
        BenchmarkSubject(f"s{n}", "dog", "live", (RealImage("a/b.png", "0" * 64),), (Prompt("a dog", "scene"),))
        for n in range(2)
    ]
    old = Benchmark("dreambench", tuple(subjects)).to_bytes()

    @TRIES
    @given(st.data())
    def tries(data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            new = data.draw(garbled(old))
        else:
            rows = data.draw(changed([json.loads(line) for line in old.splitlines()]))
            new = b"\n".join(map(encoded, rows if isinstance(rows, list) else [rows]))
        try:
            Benchmark.from_bytes(new, "theirs")
        except PlanError as error:
            assert len(str(error).splitlines()) == 1

    bounded(tries)


def test_checkpoints(tmp_path: Path, scratch: Path) -> None:
    import torch

    from toffee_pipeline.train.checkpoint import load_checkpoint, save_checkpoint
    from toffee_pipeline.train.data.stream import Position, resume
    from toffee_pipeline.train.saved import steps_saved

    storage = LocalStorage(str(tmp_path / "run"))
    tensors = {"a": torch.ones(3)}
    optimizer = {"state": {"a": {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3, "params": ["a"]}]}
    state = {"network": tensors, "average": tensors, "optimizer": optimizer, "figures": {"loss": 0.5}}
    save_checkpoint(storage, 7, state, [Position(3, 2), Position(4, 0)], keep=1)
    whole = {key: storage.get(key) for key, _ in storage.list()}

    @TRIES
    @given(st.data())
    def tries(data: st.DataObject) -> None:
        for key, content in whole.items():
            storage.put(key, content)
        key = data.draw(st.sampled_from(sorted(whole)))
        if key.endswith(".json") and data.draw(st.booleans()):
            storage.put(key, encoded(data.draw(changed(json.loads(whole[key])))))
        else:
            storage.put(key, data.draw(garbled(whole[key])))
        with nothing_touched_but(tmp_path / "run", scratch):
            try:
                (step,) = steps_saved(storage)
                _, positions = load_checkpoint(storage, step, 10_000)
                resume(positions, 0, 3)
            except ToffeeError as error:
                assert len(str(error).splitlines()) == 1

    bounded(tries)
