import pytest
from click.testing import CliRunner

from jobs.export import main
from tests.helpers.planned_run import write_planned_run
from toffee_pipeline.storage import LocalStorage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Its directory, and its accepted rows by pair id."""
    path = tmp_path_factory.mktemp("run") / "run"
    return path, write_planned_run(LocalStorage(str(path)))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Exports the run in a format, once, in parts of about one shard each, and gives the directory."""
    known = {}

    def make(form):
        if form not in known:
            known[form] = tmp_path_factory.mktemp("exports") / form
            splits = ("--split", "train=0.6", "--split", "test=0.4")
            words = ("--output", str(known[form]), "--license", "cc-by-4.0", "--part-mib", "1", *splits)
            done = CliRunner().invoke(main, [str(run[0]), "--format", form, *words], catch_exceptions=False)
            assert done.exit_code == 0, done.output
        return known[form]

    return make
