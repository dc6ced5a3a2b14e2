"""Run directories, configs and catalogues of strangers, changed at random: no traceback, nothing touched elsewhere, and
little memory. `make fuzz` tries for FUZZ_SECONDS; without that a few fixed examples are tried."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from jobs import export, refilter, remake, status, verify
from tests.helpers.fuzzing import TRIES, bounded, changed, encoded, garbled, retell
from tests.helpers.planned_run import write_finished_run
from tests.helpers.watched import nothing_touched_but
from toffee_pipeline.config.load import CONFIGS, PROFILES, load_config, profile_names
from toffee_pipeline.errors import CatalogError, ConfigError, RunError, ToffeeError
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.printable import printable
from toffee_pipeline.report.site import make_site
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import LocalStorage

CATALOG = PROFILES.parent / "plan" / "catalogs" / "nano.yaml"
SIZES = ("thumbnails", "images")
pytestmark = pytest.mark.slow


def no_models(*_: object, **__: object) -> None:
    raise RunError("models are not loaded here")


@pytest.mark.parametrize("kind", ["bytes", "rows"])
def test_run_directories(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.remake.StageChain", no_models)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch := tmp_path / "scratch"))
    scratch.mkdir()
    whole = tmp_path / "whole"
    write_finished_run(LocalStorage(str(whole)), 8)
    names = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file())

    @TRIES
    @given(st.data())
    def tries(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            run, view, exported = (Path(folder, name) for name in ("run", "view", "exported"))
            shutil.copytree(whole, run)
            name = data.draw(st.sampled_from([name for name in names if kind == "bytes" or name.endswith(".parquet")]))
            old = (run / name).read_bytes()
            if kind == "rows":
                retell(run, name, data)
                new = (run / name).read_bytes()
            elif name.endswith(".json") and data.draw(st.booleans()):
                new = encoded(data.draw(changed(json.loads(old))))
            else:
                new = data.draw(garbled(old))
            target = data.draw(
                st.sampled_from([name, name, name, "summary.json", "_lease.json", "_index/ledger.parquet"])
                if kind == "bytes"
                else st.just(name)
            )
            (run / target).parent.mkdir(exist_ok=True)
            (run / target).write_bytes(new)
            with nothing_touched_but(run, scratch):
                look_at(run)
            for command, words in (
                (verify, []),
                (remake, ["p000000000"]),
                (remake, ["p000000005"]),
                (status, []),
                (status, ["--json"]),
                (refilter, ["--output", str(view), "--curve"]),
                (export, ["--output", str(exported), "--format", data.draw(st.sampled_from(list(FORMATS)))]),
                (verify, ["--repair"]),
            ):
                with nothing_touched_but(run, view, exported, scratch):
                    result = CliRunner().invoke(command.main, [str(run), *words])
                assert result.exit_code in (0, 1, 2), (command, target, result.exception)
                assert result.exception is None or isinstance(result.exception, SystemExit), (target, result.exc_info)
                shown = result.output.replace("\n", "")
                assert printable(shown) == shown

    bounded(tries, 3)


def look_at(run: Path) -> None:
    """As `jobs/browse.py` does: what a page meets, the page says."""
    try:
        with TestClient(make_site(LocalStorage(str(run))), base_url="http://127.0.0.1") as client:
            for path in sorted((run / "_ledger").glob("pair-*.parquet")):
                _, shard, attempt = path.stem.split("-")
                pictures = (f"/{size}/{attempt}/{int(shard)}/0/{name}" for size in SIZES for name in IMAGE_COLUMNS)
                for page in (
                    "/",
                    "/?status=rejected",
                    f"/rows/{int(shard)}/0",
                    f"/rows/{int(shard)}/3",
                    *pictures,
                    "/report",
                ):
                    client.get(page)
    except (ToffeeError, OSError):
        pass


@pytest.mark.parametrize("kind", ["values", "bytes"])
def test_configs(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    having = [config for config in CONFIGS if (PROFILES / config.job).is_dir()]
    profiles = [(config, name) for config in having for name in profile_names(config.job)]
    contents = [(PROFILES / config.job / f"{name}.yaml").read_bytes() for config, name in profiles]
    known = [(config, old, yaml.safe_load(old)) for (config, _), old in zip(profiles, contents, strict=True)]

    @TRIES
    @given(st.data())
    def tries(data: st.DataObject) -> None:
        config, old, tree = data.draw(st.sampled_from(known))
        path.write_bytes(encoded(data.draw(changed(tree))) if kind == "values" else data.draw(garbled(old)))
        with nothing_touched_but(read=[path]):
            try:
                load_config(str(path), (), config)
            except ConfigError as error:
                assert len(str(error).splitlines()) == 1

    bounded(tries)


@pytest.mark.parametrize("kind", ["values", "bytes"])
def test_catalogues(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    old = Path(str(CATALOG)).read_bytes()

    @TRIES
    @given(changed(yaml.safe_load(old)).map(encoded) if kind == "values" else garbled(old))
    def tries(new: bytes) -> None:
        path.write_bytes(new)
        with nothing_touched_but(read=[path]):
            try:
                load_catalog(str(path))
            except CatalogError as error:
                assert all(len(line.splitlines()) == 1 for line in (str(error), *error.problems))

    bounded(tries)
