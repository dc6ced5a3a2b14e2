"""jobs/remake.py makes a pair again from its row, whatever its subject came from, and finds what is not as it was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs import refilter, remake
from jobs.generate import generate
from tests.conftest import QUICK
from tests.helpers.banks import make_bank
from tests.helpers.pair_sets import refinement, write_imagefolder
from tests.helpers.stub_stages import STUB_STAGES
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import decode, encode_png, read_file
from toffee_pipeline.rundir.layout import RUN
from toffee_pipeline.rundir.manifests import data_files
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow

JUDGED_BY_NOTHING = (
    "output.keep=all",
    *(f"stages.judge.{bound}=null" for bound in ("min_dino", "max_dino", "min_clip", "min_clip_gain")),
)
PIXELS = (*QUICK, *JUDGED_BY_NOTHING)


def write_run(output, *overrides, stages=None):
    generate(load_config("nano", ("placement=inline", *overrides)), str(output), stages=stages)
    return output


def rows(run, folder="data"):
    return [row for file in data_files(open_storage(str(run)), folder) for row in pq.read_table(file).to_pylist()]


def make_again(run, pair_id, *options):
    return CliRunner().invoke(remake.main, [str(run), pair_id, *map(str, options)], catch_exceptions=False)


def refusal(run, pair_id, *options):
    """The one line that exit code 2 comes with."""
    result = make_again(run, pair_id, *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    return result.stderr.removeprefix("error: ").strip()


def results(said):
    """What the table says of each picture."""
    lines = (line.strip("│ ").split("│") for line in said.splitlines() if line.startswith("│"))
    return {cells[0].strip(): cells[1].strip() for cells in lines}


def view_of(run, output, *options):
    words = [str(run), "--output", str(output), *options]
    result = CliRunner().invoke(refilter.main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return output


def change_run_file(run, **changes):
    path = Path(run) / RUN
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two drawn subjects in a shard, each with a generation pair, an addition, and the removal that turns it round."""
    sets = (
        "subjects.source=synthesis",
        "pairs.count=6",
        "pairs.per_subject=3",
        "pairs.edit_fraction=0.67",
        "pairs.edit_categories={addition: 1, removal: 1}",
        "subjects_per_shard=2",
    )
    return write_run(tmp_path_factory.mktemp("remake") / "run", *PIXELS, *sets)


@pytest.fixture(scope="module")
def stub_run(tmp_path_factory):
    """Two committed shards of a pair each, made without models, of which a third is missing; the first pair failed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STUB_FAULTS", "black=0")
        sets = ("pairs.count=3", "pairs.per_subject=1", "subjects_per_shard=1", "max_failed_fraction=1")
        run = write_run(tmp_path_factory.mktemp("stub") / "run", *sets, stages=STUB_STAGES)
    (run / "_manifests/shard-000002.json").unlink()
    return run


@pytest.fixture
def copy_of_stub_run(stub_run, tmp_path):
    return shutil.copytree(stub_run, tmp_path / "run")


@pytest.mark.parametrize(
    "chosen",
    [lambda row: row["category"] == "addition", lambda row: row["reversed_from"] is not None],
    ids=["edit", "reversed"],
)
def test_a_pair_is_the_same_without_its_neighbours(run, chosen, tmp_path):
    pair_id = [row["pair_id"] for row in rows(run) if chosen(row)][-1]  # of the second subject
    result = make_again(run, pair_id, "--output", tmp_path / "seen", "--tolerance", 0)
    assert result.exit_code == 0, result.output
    assert results(result.stdout) == dict.fromkeys(IMAGE_COLUMNS, "equal")
    height, width = read_file(tmp_path / "seen" / f"{pair_id}.png").shape[:2]
    assert height > 3 * 128 and width > len(IMAGE_COLUMNS) * 128


def test_a_pair_of_a_run_on_s3_too(run, s3):
    uri, endpoint = s3
    stored = open_storage(uri, endpoint)
    for path in filter(Path.is_file, run.rglob("*")):
        stored.put(path.relative_to(run).as_posix(), path.read_bytes())
    pair_id = [row["pair_id"] for row in rows(run) if row["kind"] == "generation"][-1]
    result = make_again(uri, pair_id, "--endpoint-url", endpoint, "--output", f"{uri}/seen", "--tolerance", 0)
    assert result.exit_code == 0, result.output
    assert results(result.stdout) == dict.fromkeys(IMAGE_COLUMNS, "equal")
    assert decode(stored.get(f"seen/{pair_id}.png")).any()


def test_an_altered_picture_is_found_and_named(run, tmp_path):
    altered = shutil.copytree(run, tmp_path / "run")
    (row,) = [row for row in rows(run) if row["kind"] == "generation"][:1]
    for file in data_files(open_storage(str(altered))):
        table = pq.read_table(file)
        pairs = table.to_pylist()
        for pair in pairs:
            if pair["pair_id"] == row["pair_id"]:
                image = decode(pair["target_image"]["bytes"])
                image[:32, :32] = 255 - image[:32, :32]
                pair["target_image"]["bytes"] = encode_png(image)
        pq.write_table(table.from_pylist(pairs, schema=table.schema), file)
    result = make_again(altered, row["pair_id"])
    assert result.exit_code == 1
    assert results(result.stdout) == dict.fromkeys(IMAGE_COLUMNS, "equal") | {"target_image": "different"}


ONE_EACH = ("pairs.count=2", "pairs.per_subject=1", "pairs.edit_fraction=0", *PIXELS)
"""Two subjects with a generation pair each."""


def test_a_subject_of_a_bank(tmp_path):
    make_bank(str(tmp_path / "bank"))
    bank = ("subjects.source=bank", f"subjects.path={tmp_path / 'bank'}", "stages.refine.region=everywhere")
    result = make_again(write_run(tmp_path / "run", *bank, *ONE_EACH), "p000000001", "--tolerance", 0)
    assert result.exit_code == 0 and "subject_image" in results(result.stdout), result.output


def test_a_pair_needs_its_own_image_alone(tmp_path):
    mine, other = tmp_path / "photos/dog/1.png", tmp_path / "photos/dog/0.png"
    mine.parent.mkdir(parents=True)
    for seed, path in enumerate((mine, other)):
        path.write_bytes(encode_png(np.random.default_rng(seed).integers(0, 256, (80, 96, 3), np.uint8)))
    run = write_run(tmp_path / "run", "subjects.source=folder", f"subjects.path={tmp_path / 'photos'}", *ONE_EACH)
    other.unlink()
    assert make_again(run, "p000000001", "--tolerance", 0).exit_code == 0
    mine.unlink()
    assert refusal(run, "p000000001") == f"p000000001 cannot be made again: synthesize: {mine}: no such file"


def test_a_given_pair_is_read_from_its_set_again(tmp_path):
    write_imagefolder(tmp_path / "set", 3)
    sets = ("stages.refine.region=everywhere", "stages.refine.sampling.num_inference_steps=2", "subjects_per_shard=1")
    run = tmp_path / "run"
    generate(refinement("imagefolder", tmp_path / "set", *sets, *JUDGED_BY_NOTHING), str(run))
    assert refusal(run, "p000000003") == "no pair 'p000000003': allowed are p000000000 to p000000002"
    for place in (run, view_of(run, tmp_path / "view", "--materialize")):  # the view has all three shards as one
        again = make_again(place, "p000000002", "--tolerance", 0)
        assert again.exit_code == 0, again.output
        assert results(again.stdout) == dict.fromkeys(
            ("input_image", "target_image", "subject_image", "draft_image"), "equal"
        )
    gone = tmp_path / "set/images/2.target.png"
    gone.unlink()
    assert refusal(run, "p000000002").startswith("p000000002 cannot be made again: ")


def test_a_copied_pair_needs_its_run_no_more(run, tmp_path):
    removal, addition = next((row["pair_id"], row["reversed_from"]) for row in rows(run) if row["reversed_from"])
    gone = shutil.copytree(run, tmp_path / "run")
    copied = view_of(gone, tmp_path / "view", "--materialize")
    shutil.rmtree(gone)
    for pair_id in (removal, addition):
        result = make_again(copied, pair_id, "--tolerance", 0)
        assert result.exit_code == 0, result.output
        assert results(result.stdout) == dict.fromkeys(IMAGE_COLUMNS, "equal")


def test_a_view_without_files_names_the_run_to_take(run, tmp_path):
    view = view_of(run, tmp_path / "view")
    assert refusal(view, "p000000001") == f"{view / RUN}: of a view without files of its own; take its run: {run}"


def test_a_pair_that_was_rejected_early_is_the_same_up_to_there(tmp_path):
    """Its subject's depth is in its row too, for the sake of the other pair. The renderer drew the subject."""
    sets = ("pairs.count=2", "pairs.per_subject=2", "pairs.edit_fraction=0.5", "stages.segment.min_fraction=0.94")
    run = write_run(tmp_path / "run", "subjects.source=renderer", *sets, *PIXELS)
    (row,) = rows(run, "_rejected")
    assert row["reason"] == "mask_too_small" and row["depth"] is not None
    result = make_again(run, row["pair_id"])
    assert (result.exit_code, results(result.stdout)) == (0, {"subject_image": "equal"})


def test_a_pair_that_is_not_there(stub_run):
    for wrong in ("p000000003", "p1", "s00000001"):
        assert refusal(stub_run, wrong) == f"no pair '{wrong}': allowed are p000000000 to p000000002"
    assert refusal(stub_run, "p000000002") == f"p000000002: its shard 2 of {stub_run} is not committed yet"
    assert "failed, so that there is nothing to compare with: score: the model's image is all black" in refusal(
        stub_run, "p000000000"
    )


def test_pictures_that_are_not_kept(tmp_path):
    write_run(
        tmp_path / "run",
        "pairs.count=1",
        "stages.judge.min_clip=0.95",
        "output.keep=accepted",
        stages=STUB_STAGES,
    )
    said = refusal(tmp_path / "run", "p000000000")
    assert said == "p000000000 is rejected (low_clip), and the run keeps no pictures of such a pair"


def test_weights_that_have_changed_are_named(copy_of_stub_run):
    roles = json.loads((copy_of_stub_run / RUN).read_text())["roles"]
    was = {"refiner": "nano weights 0123456789abcdef", "clip": "nano weights fedcba9876543210"}
    change_run_file(copy_of_stub_run, roles=roles | was)
    said = refusal(copy_of_stub_run, "p000000001")  # CLIP judged it, and made nothing of it
    assert f"refiner ({was['refiner']} then, {roles['refiner']} now)" in said and "clip" not in said


def test_runs_of_another_kind(copy_of_stub_run, tmp_path):
    change_run_file(copy_of_stub_run, schema_version=1)
    assert "schema version 1, this code reads" in refusal(copy_of_stub_run, "p000000001")
    make_bank(str(tmp_path / "bank"))
    assert "of a run of jobs/generate_subjects.py, not of jobs/generate.py or jobs/refine_pairs.py" in refusal(
        tmp_path / "bank", "p000000001"
    )
    assert "no such file" in refusal(tmp_path / "nowhere", "p000000001")


def test_a_run_json_of_another_size_is_refused_before_models_load(copy_of_stub_run, monkeypatch):
    config = json.loads((copy_of_stub_run / RUN).read_text())["config"]
    change_run_file(copy_of_stub_run, config=config | {"size_px": 4096})
    monkeypatch.setattr("actors.remake.StageChain", None)
    assert "px, its run makes 4096 x 4096" in refusal(copy_of_stub_run, "p000000001")


def test_a_damaged_file_is_named(copy_of_stub_run):
    (file,) = data_files(open_storage(str(copy_of_stub_run)))[:1]
    Path(file).write_bytes(b"PAR1 no more")
    assert f"{file}: not a sound Parquet file" in refusal(copy_of_stub_run, "p000000001")
