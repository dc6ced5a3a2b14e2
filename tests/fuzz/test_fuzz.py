"""Run directories, configs and catalogues of strangers, changed at random: no traceback, nothing touched elsewhere, and
little memory. `make fuzz` tries for FUZZ_SECONDS; without that a few fixed examples are tried."""

import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs import export, refilter, status, verify
from tests.helpers.planned_run import write_finished_run
from tests.helpers.watched import nothing_touched_but
from toffee_pipeline.config.load import CONFIGS, PROFILES, load_config, profile_names
from toffee_pipeline.errors import CatalogError, ConfigError
from toffee_pipeline.export.formats import FORMATS
from toffee_pipeline.plan.catalog import load_catalog
from toffee_pipeline.printable import printable
from toffee_pipeline.storage import LocalStorage

CATALOG = PROFILES.parent / "plan" / "catalogs" / "nano.yaml"
NUM_TESTS = 5
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
MAX_GROWTH_MIB = 1024
TRIES = settings(
    max_examples=15,
    derandomize=not SECONDS,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink what fails would take longer than to read it
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
WEIRD = [
    *(None, True, 0, -1, 10**12, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "NaN", [], {}, [[[]]]),
    *(
        "..",
        "../../outside",
        "/etc/passwd",
        "/dev/zero",
        "file:///",
        "s3://",
        "s3://a/b",
        "never",
        "9999-12-31T23:59:59Z",
    ),
    *(
        "\x1b[2J",
        "[/bold]",
        "\udc00",
        "a\nb",
        "x" * 10_000,
        "%s{0}{__class__}",
        "!!python/object:os.system",
        "0" * 5000,
    ),
]
weird = st.sampled_from(WEIRD)
pytestmark = pytest.mark.slow


def places(tree: Any, before: tuple = ()) -> list[tuple]:
    """Of all values in nested lists and mappings."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [before, *(place for key, value in inner for place in places(value, (*before, key)))]


@st.composite
def changed(draw: st.DrawFn, tree: Any) -> Any:
    """The tree with some values replaced, left out, doubled or put deep into lists."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(tree)))
        if not place:
            continue
        parent = tree
        for key in place[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "replace", "drop", "more", "deep"]))
        if action == "replace":
            parent[place[-1]] = draw(weird)
        elif action == "drop":
            del parent[place[-1]]
        elif action == "more" and isinstance(parent, dict):
            parent[draw(st.text(max_size=5))] = draw(weird)
        else:
            for _ in range(draw(st.sampled_from([3, 150]))):
                parent[place[-1]] = [parent[place[-1]]]
    return tree


@st.composite
def garbled(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some of them changed, cut off, or doubled."""
    array = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(array) - 1)))
        action = draw(st.sampled_from(["flip", "flip", "cut", "insert", "repeat"]))
        if action == "flip" and array:
            array[at] ^= draw(st.integers(1, 255))
        elif action == "cut":
            del array[at:]
        elif action == "insert":
            array[at:at] = draw(st.binary(max_size=8))
        else:
            array[at:at] = array[at : at + 64] * draw(st.sampled_from([1, 100]))
    return bytes(array)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bounded(tries: Callable[[], None]) -> None:
    """Runs them once, and again for as long as this test's share of the time lasts, in bounded memory."""
    before, until = peak_mib(), time.monotonic() + SECONDS / NUM_TESTS
    tries()
    while time.monotonic() < until:
        tries()
    assert peak_mib() - before < MAX_GROWTH_MIB


def encoded(tree: Any) -> bytes:
    return json.dumps(tree).encode(errors="surrogatepass")


def test_run_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
            name = data.draw(st.sampled_from(names))
            old = (run / name).read_bytes()
            if name.endswith(".json") and data.draw(st.booleans()):
                new = encoded(data.draw(changed(json.loads(old))))
            else:
                new = data.draw(garbled(old))
            target = data.draw(
                st.sampled_from([name, name, name, "summary.json", "_lease.json", "_index/ledger.parquet"])
            )
            (run / target).parent.mkdir(exist_ok=True)
            (run / target).write_bytes(new)
            for command, words in (
                (verify, []),
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

    bounded(tries)


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
