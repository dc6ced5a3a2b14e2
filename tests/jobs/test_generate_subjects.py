"""A subject bank, and pairs of its subjects: what each costs, what a change or a damage of the bank does."""

import shutil

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from actors.read import Read
from jobs import export, generate, generate_subjects, status, train_refiner, verify
from tests.conftest import QUICK
from tests.helpers.banks import bank_config, make_bank
from tests.helpers.handed_over import change_json
from tests.helpers.stub_stages import STUB_STAGES, picture
from tests.helpers.training_job import train
from toffee_pipeline.config.load import load_config
from toffee_pipeline.errors import DamagedFile, RunMismatch
from toffee_pipeline.images import decode
from toffee_pipeline.plan.plan import Plan, make_plan
from toffee_pipeline.rundir.bank import open_bank
from toffee_pipeline.rundir.dataset import load_pairs
from toffee_pipeline.rundir.layout import LAYOUT_VERSION, manifest_key
from toffee_pipeline.rundir.manifests import data_files, read_bank_manifest
from toffee_pipeline.schema.subjects import SUBJECTS
from toffee_pipeline.storage import open_storage

pytestmark = pytest.mark.slow


def pairs_config(bank, *overrides):
    sets = (
        "placement=inline",
        "subjects.source=bank",
        f"subjects.path={bank}",
        "pairs.count=12",
        "pairs.per_subject=1",
    )
    return load_config("nano", (*sets, "subjects_per_shard=2", "stages.refine.region=everywhere", *overrides))


def rows_of(uri, folder="data", endpoint_url=None):
    """Rows of all committed files of a run, in the order of its shards."""
    storage = open_storage(str(uri), endpoint_url)
    read = [pq.read_table(file).to_pylist() for file in data_files(storage, folder)]
    return [row for rows in read for row in rows]


def call(command, *arguments):
    return CliRunner().invoke(command.main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """To be read only."""
    folder = tmp_path_factory.mktemp("banks") / "bank"
    make_bank(str(folder))
    return folder


@pytest.fixture
def own_bank(bank, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(bank, tmp_path / "bank")


def files_of(bank):
    return sorted((bank / "data").iterdir())


def test_a_bank_has_a_row_per_accepted_subject_and_a_ledger_of_all(bank, tmp_path):
    ledger, rows = rows_of(bank, "_ledger"), rows_of(bank)
    assert [row["subject_id"] for row in ledger] == [f"s{number:08d}" for number in range(9)]
    assert [row["status"] for row in ledger] == ["rejected", "accepted", "accepted"] * 3
    assert {row["reason"] for row in ledger if row["status"] == "rejected"} == {"low_subject_clip"}
    assert [row["subject_id"] for row in rows] == [row["subject_id"] for row in ledger if row["status"] == "accepted"]
    for row in rows:
        assert decode(row["image"]["bytes"]).shape == (64, 64, 3) and row["clip_score"] == pytest.approx(0.9)
    assert pq.read_schema(files_of(bank)[0]).equals(SUBJECTS.data)
    for shard in range(3):
        manifest, ids = read_bank_manifest(open_storage(str(bank)), shard), rows[2 * shard : 2 * shard + 2]
        assert [subject.subject_id for subject in manifest.subjects] == [row["subject_id"] for row in ids]
    dataset = load_pairs(str(bank), cache_dir=str(tmp_path / "cache"))
    assert dataset[0]["image"].size == (64, 64) and dataset[0]["prompt"] == rows[0]["prompt"]


def test_a_bank_is_planned_as_the_subjects_of_a_run_of_pairs_with_its_seed(bank):
    plan = make_plan(bank_config())
    planned = [subject for index in range(3) for subject in plan.shard(index)[0]]
    synthesis = load_config(
        "nano", ("placement=inline", "pairs.count=9", "pairs.per_subject=1", "subjects_per_shard=9")
    )
    assert planned == Plan(synthesis).shard(0)[0]
    assert [(row["prompt"], row["seed"]) for row in rows_of(bank, "_ledger")] == [(s.prompt, s.seed) for s in planned]


def test_status_verify_and_report_know_a_bank(bank):
    shown = call(status, bank)
    assert "3 of 3 shards committed" in shown.output and "subjects" in shown.output and "draft" not in shown.output
    checked = call(verify, bank)
    assert checked.exit_code == 0, checked.output
    page = (bank / "report/index.html").read_text()
    assert "Toffee subject bank" in page and page.count("<figcaption>depth</figcaption>") == 6 + 6 + 3
    assert "the image does not show its subject&#39;s prompt: CLIP below 0." in page


def test_a_damaged_bank_is_found_taken_back_and_made_again_the_same(own_bank):
    before = open_bank(pairs_config(own_bank)).digest
    files_of(own_bank)[1].write_bytes(b"damaged")
    assert call(verify, own_bank, "--repair").exit_code == 1
    make_bank(str(own_bank))
    assert call(verify, own_bank).exit_code == 0
    assert open_bank(pairs_config(own_bank)).digest == before  # so that runs of pairs go on


def test_pairs_take_the_accepted_subjects_in_their_order_and_start_again_after_the_last(bank):
    plan = Plan(pairs_config(bank), open_bank(pairs_config(bank)))
    subjects = [subject for index in range(len(plan)) for subject in plan.shard(index)[0]]
    banked = rows_of(bank)
    assert [subject.path for subject in subjects] == [row["subject_id"] for row in banked] * 2
    assert [subject.prompt for subject in subjects[:6]] == [row["prompt"] for row in banked]
    assert [subject.subject_id for subject in subjects] == [f"s{number:08d}" for number in range(12)]


def test_photographs_of_a_subject_stay_together_through_a_bank(tmp_path):
    """A bank goes through a folder several times, and a run through the bank: no subject is in two splits."""
    photos = [f"{top}/{number}.png" for top in ("dog1", "dog2", "dog3", "dog4") for number in range(2)]
    for name in photos:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(picture(0))
    folder = ("subjects.source=folder", f"subjects.path={tmp_path / 'photos'}")
    make_bank(str(tmp_path / "bank"), *folder, "count=24", "subjects_per_shard=24")
    assert call(verify, tmp_path / "bank").exit_code == 0
    config = pairs_config(tmp_path / "bank", "pairs.count=32", "subjects_per_shard=32")
    generate.generate(config, str(tmp_path / "pairs"), stages=STUB_STAGES)
    splits = ("--split", "train=0.5", "--split", "test=0.5")
    done = call(export, tmp_path / "pairs", "--format", "huggingface", "--output", tmp_path / "export", *splits)
    assert done.exit_code == 0, done.output
    files = (tmp_path / "export").glob("*/*.parquet")
    rows = [(path.parent.name, row) for path in files for row in pq.read_table(path).to_pylist()]
    assert {row["source_path"] for _, row in rows} == {*photos} and len(rows) == 32
    split_of = {row["source_path"].split("/")[0]: split for split, row in rows}
    assert {*split_of.values()} == {"train", "test"}
    assert all(split_of[row["source_path"].split("/")[0]] == split for split, row in rows)


def test_a_run_reads_the_images_of_its_subjects_and_needs_no_bank_to_be_planned_again(bank, tmp_path):
    config, output = pairs_config(bank), str(tmp_path / "pairs")
    generate.generate(config, output, stages=STUB_STAGES)
    banked = {row["subject_id"]: row for row in rows_of(bank)}
    shard = Read(config, output)(4)
    for state in shard.subjects.values():
        row = banked[state.subject.path]
        found = (state.image, state.mask, state.depth)
        assert found == tuple(row[name]["bytes"] for name in ("image", "mask", "depth"))
    assert call(verify, output).exit_code == 0
    assert call(status, output).exit_code == 0
    page = (tmp_path / "pairs/report/index.html").read_text()
    assert "Without its subject bank" in page and "synthesize</th>" not in page and "segment</th>" in page


def damage(bank, how):
    file = files_of(bank)[1]
    if how == "missing":
        file.unlink()
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    else:  # inside of the first row's image
        data = bytearray(file.read_bytes())
        data[1000:1100] = bytes(100)
        file.write_bytes(data)


@pytest.mark.parametrize(("how", "failed"), [("missing", {2, 3, 8, 9}), ("cut", {2, 3, 8, 9}), ("image", {2, 8})])
def test_a_damaged_bank_file_fails_its_own_pairs_and_nothing_else(own_bank, tmp_path, how, failed):
    name = files_of(own_bank)[1].name
    damage(own_bank, how)
    output = str(tmp_path / "pairs")
    generate.generate(pairs_config(own_bank, "max_failed_fraction=1"), output, stages=STUB_STAGES)
    ledger = rows_of(output, "_ledger")
    errors = {int(row["pair_id"][1:]): row["error"] for row in ledger if row["status"] == "failed"}
    assert errors.keys() == failed
    assert all(error.startswith("read: ") and name in error or how == "image" for error in errors.values())
    assert call(verify, output).exit_code == 0


def test_a_run_goes_on_with_the_same_bank_only(own_bank, tmp_path):
    config, output = pairs_config(own_bank), str(tmp_path / "pairs")
    generate.generate(config, output, stages=STUB_STAGES)
    (tmp_path / "pairs/_manifests/shard-000001.json").unlink()
    manifest = own_bank / "_manifests/shard-000001.json"
    kept = manifest.read_bytes()
    manifest.unlink()
    with pytest.raises(RunMismatch, match=rf"a run of other images: {own_bank}: shard 1 is gone$"):
        generate.generate(config, output, stages=STUB_STAGES)
    manifest.write_bytes(kept.replace(b'"sha256": "', b'"sha256": "0', 1))
    with pytest.raises(RunMismatch, match="shard 1 has changed$"):
        generate.generate(config, output, stages=STUB_STAGES)
    with pytest.raises(RunMismatch, match="shard 1 has changed$"):  # also in the middle of a run
        Read(config, output)(1)
    manifest.write_bytes(kept)
    assert generate.generate(config, output, stages=STUB_STAGES).planned == 12


def test_what_is_no_bank_that_can_be_used_is_one_line(own_bank, tmp_path):
    command = ["--output", tmp_path / "pairs", "--set", "subjects.source=bank", "--set"]

    def refused(path, *more):
        result = call(generate, *command, f"subjects.path={path}", *more)
        assert result.exit_code == 2 and not (tmp_path / "pairs").exists()
        return result.output.splitlines()[-1]

    assert refused(tmp_path / "none").startswith(
        f"error: {tmp_path}/none/run.json: no such file; a run directory of jobs"
    )
    assert refused(own_bank, "--set", "size_px=128").endswith(f"the images of {own_bank} have size_px=64, not 128")
    make_bank(str(tmp_path / "empty"), "stages.judge.min_clip=0.95")
    line = f"error: subjects.path: {tmp_path}/empty: no committed shard of this bank has an accepted subject"
    assert refused(tmp_path / "empty") == line
    generate.generate(pairs_config(own_bank, "pairs.count=1"), str(tmp_path / "other"), stages=STUB_STAGES)
    assert "of a run of jobs/generate.py, not of jobs/generate_subjects.py" in refused(tmp_path / "other")
    run = own_bank / "run.json"
    run.write_text(run.read_text().replace(f'"version": {LAYOUT_VERSION}', '"version": 99'))
    assert refused(own_bank).endswith(f"run.json: layout version 99, this code reads {LAYOUT_VERSION}")


def test_from_a_bank_to_a_refiner_trained_on_it_to_pairs_with_that_refiner(tmp_path, s3):
    uri, endpoint = s3

    def run(command, output, *sets):
        words = [word for item in ("placement=inline", "subjects_per_shard=1", *sets) for word in ("--set", item)]
        return call(command, "--output", output, *words)

    made = run(generate_subjects, uri, "count=2", "subjects.source=renderer", f"output.endpoint_url={endpoint}")
    assert made.exit_code == 0, made.output
    assert "refiner:" not in made.output and "depth: nano weights" in made.output

    source = f"data.sources=[{{format: run, path: '{uri}', endpoint_url: '{endpoint}'}}]"
    trained = train(train_refiner, tmp_path / "refiner", source, "train.max_steps=1", "train.micro_batch_size=4")
    assert trained.exit_code == 0, trained.output

    bank = ("subjects.source=bank", f"subjects.path={uri}", f"subjects.endpoint_url={endpoint}")
    refiner = f"models.refiner={{weights: pretrained, path: '{tmp_path / 'refiner/model'}'}}"
    output = tmp_path / "pairs"
    pairs = run(generate, output, *QUICK, "pairs.count=2", "pairs.per_subject=1", *bank, refiner)
    assert pairs.exit_code == 0, pairs.output
    assert "subject: subject bank" in pairs.output and "refiner: pretrained model" in pairs.output
    assert call(verify, output, "--endpoint-url", endpoint).exit_code == 0
    ledger = rows_of(output, "_ledger")
    assert len(ledger) == 2 and {row["status"] for row in ledger} <= {"accepted", "rejected"}
    assert all(row["stage_s"]["synthesize"] == row["stage_s"]["depth"] == 0 for row in ledger)


def test_a_bank_whose_shard_names_two_files_is_damaged(own_bank, tmp_path):
    def split(manifest):
        (data,) = (file for file in manifest["files"] if file["folder"] == "data")
        other = data | {"key": data["key"].replace("data/subject", "data/other"), "num_rows": data["num_rows"] - 1}
        manifest["files"] = [data | {"num_rows": 1}, other, *manifest["files"][1:]]

    config = pairs_config(own_bank)
    bank = open_bank(config)
    path = own_bank / manifest_key(1)
    change_json(path, split)
    for read in (lambda: open_bank(config), lambda: bank.images([2])):
        with pytest.raises(DamagedFile, match=f"^{path}: damaged: it names 2 files in data"):
            read()
