"""Curves and sample grids, read back by the libraries that show them."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import wandb
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from tests.helpers.s3 import BUCKET
from toffee_pipeline.config.train import TrackingConfig
from toffee_pipeline.errors import TrackerError
from toffee_pipeline.images import decode
from toffee_pipeline.storage import Storage, open_storage
from toffee_pipeline.train import tracking
from toffee_pipeline.train.tracking import Tracker, TrackingIds

pytestmark = pytest.mark.slow

SETTINGS = {"seed": 0, "train": {"max_steps": 60, "name": "ä"}, "sources": [{"format": "world"}], "empty": {}}
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path) -> Storage:
    if request.param == "local":
        return open_storage(str(tmp_path / "run"))
    return open_storage(f"s3://{BUCKET}/{tmp_path.name}", request.getfixturevalue("endpoint"))


@pytest.fixture
def run(tmp_path) -> Storage:
    return open_storage(str(tmp_path / "run"))


def open_tracker(storage: Storage, start_step: int = 0, **options: object) -> Tracker:
    return Tracker(TrackingConfig(**options), storage, "train_refiner", SETTINGS, start_step)


def train(tracker: Tracker, first: int, last: int, loss: float) -> None:
    for step in range(first, last + 1, 10):
        tracker.log(step, {"loss": loss + step, "lr": np.float32(1e-3)})


def read(storage: Storage, folder: Path) -> EventAccumulator:
    """What TensorBoard shows of a run directory."""
    for key, _ in storage.list("tensorboard/"):
        storage.get_file(key, folder / key, None)
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def curve(events: EventAccumulator, name: str = "loss") -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(name)]


class TestTensorBoard:
    def test_curves_pictures_and_config(self, storage, tmp_path):
        tracker = open_tracker(storage)
        train(tracker, 10, 30, 0.5)
        tracker.images(30, "samples", PICTURE)
        tracker.close()
        events = read(storage, tmp_path / "copy")
        assert curve(events) == [(10, 10.5), (20, 20.5), (30, 30.5)]
        assert curve(events, "lr")[0] == (10, pytest.approx(1e-3))
        (image,) = events.Images("samples")
        assert image.step == 30 and (decode(image.encoded_image_string) == PICTURE).all()
        (text,) = events.Tensors("config/text_summary")
        assert "    max_steps: 60\n" in text.tensor_proto.string_val[0].decode() + "\n"
        assert (decode(storage.get("samples/step-00000030.png")) == PICTURE).all()

    def test_flush_shows_what_was_logged_so_far(self, storage, tmp_path):
        tracker = open_tracker(storage)
        for step in (1, 2):
            tracker.log(step, {"loss": step})
            tracker.flush()
            assert len(curve(read(storage, tmp_path / str(step)))) == step
        tracker.close()

    def test_a_resume_shows_no_step_twice(self, storage, tmp_path):
        killed = open_tracker(storage)
        train(killed, 10, 50, 0.5)
        killed.images(30, "samples", PICTURE)
        killed.images(40, "samples", PICTURE)
        killed.flush()
        resumed = open_tracker(storage, start_step=30)  # the last checkpoint
        train(resumed, 40, 60, 0.25)
        resumed.images(40, "samples", PICTURE)
        resumed.close()
        again = open_tracker(storage, start_step=50)
        train(again, 60, 60, 0.0)
        again.close()
        events = read(storage, tmp_path / "copy")
        wanted = [(10, 10.5), (20, 20.5), (30, 30.5), (40, 40.25), (50, 50.25), (60, 60.0)]
        assert curve(events) == wanted
        assert [image.step for image in events.Images("samples")] == [30, 40]
        assert len(list(storage.list("tensorboard/"))) == 3

    def test_a_try_killed_before_its_first_checkpoint_is_forgotten(self, run, tmp_path):
        killed = open_tracker(run)
        killed.log(0, {"loss": 9})
        train(killed, 10, 30, 0.5)
        killed.flush()
        second = open_tracker(run)
        train(second, 10, 20, 0.25)
        second.close()
        assert curve(read(run, tmp_path / "copy")) == [(10, 10.25), (20, 20.25)]

    def test_unchanged_files_are_not_copied_again(self, run):
        tracker = open_tracker(run)
        tracker.log(1, {"loss": 1})
        tracker.flush()
        path = Path(run.path_for("tensorboard/events.out.tfevents.000001"))
        before = path.stat().st_ino  # a put replaces the file
        tracker.flush()
        assert path.stat().st_ino == before
        tracker.log(2, {"loss": 1})
        tracker.flush()
        assert path.stat().st_ino != before
        tracker.close()

    def test_large_files_are_continued_in_another(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr(tracking, "MAX_FILE_BYTES", 2000)
        tracker = open_tracker(run)
        for step in (1, 2, 3):
            tracker.log(step, {"loss": step})
            tracker.images(step, "samples", PICTURE)
            tracker.flush()
        tracker.close()
        assert len(list(run.list("tensorboard/"))) > 2
        events = read(run, tmp_path / "copy")
        assert curve(events) == [(1, 1), (2, 2), (3, 3)] and len(events.Images("samples")) == 3

    def test_close_leaves_no_temporary_files(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        open_tracker(run).close()
        assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def wandb_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-home"))
    (tmp_path / "wandb-home").mkdir()
    return tmp_path / "wandb-home" / "wandb"


def wandb_records(path: Path) -> list[Record]:
    """The records of a `.wandb` file: LevelDB's log format, blocks of 32 KiB of length-prefixed parts."""
    data, records, part, place = path.read_bytes(), [], b"", 7
    while place + 7 <= len(data):
        if 32_768 - place % 32_768 < 7:
            place += 32_768 - place % 32_768
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            records.append(Record.FromString(part))
            part = b""
    return records


class TestWeightsAndBiases:
    def test_a_resume_continues_the_run(self, run, wandb_folder):
        first = open_tracker(run, wandb=True, project="mine")
        train(first, 10, 30, 0.5)
        first.images(30, "samples", PICTURE)
        first.close(failed=True)
        wandb.teardown()  # each try has a process of its own, and W&B's service ends with it
        second = open_tracker(run, start_step=30, wandb=True, project="mine")
        train(second, 40, 50, 0.25)
        second.close()
        wandb.teardown()

        tries = [wandb_records(path) for path in sorted(wandb_folder.glob("offline-run-*/*.wandb"))]
        runs = [next(record.run for record in records if record.HasField("run")) for records in tries]
        assert {run.run_id for run in runs} == {json.loads(run.get("tracking.json"))["wandb"]}
        assert {(run.project, run.display_name) for run in runs} == {("mine", "train_refiner")}
        config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
        assert SETTINGS.items() <= config.items()
        losses = []
        for records in tries:
            for record in records:
                if record.HasField("history"):
                    point = {(item.key or item.nested_key[0]): item.value_json for item in record.history.item}
                    losses += [(int(point["_step"]), float(point["loss"]))] if "loss" in point else []
        assert losses == [(10, 10.5), (20, 20.5), (30, 30.5), (40, 40.25), (50, 50.25)]
        exits = [next(record.exit.exit_code for record in records if record.HasField("exit")) for records in tries]
        assert exits == [1, 0]
        (picture,) = wandb_folder.glob("*/files/media/images/*.png")
        assert (decode(picture.read_bytes()) == PICTURE).all()

    def test_what_it_refuses_is_one_line(self, run, wandb_folder):
        with pytest.raises(TrackerError, match="^W&B: .*[Pp]roject") as caught:
            open_tracker(run, wandb=True, project="a/b")
        assert "\n" not in str(caught.value)


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    return MlflowClient


class TestMLflow:
    def test_a_resume_continues_the_run_and_shows_no_step_twice(self, run, mlflow_store):
        killed = open_tracker(run, mlflow=True, project="mine")
        train(killed, 10, 50, 0.5)
        killed.images(30, "samples", PICTURE)
        killed.flush()
        resumed = open_tracker(run, start_step=30, mlflow=True, project="mine")
        train(resumed, 40, 60, 0.25)
        resumed.images(30, "samples", PICTURE)
        resumed.close()

        client = mlflow_store()
        experiment = client.get_experiment_by_name("mine")
        (known,) = client.search_runs([experiment.experiment_id])
        assert known.info.run_id == json.loads(run.get("tracking.json"))["mlflow"]
        assert (known.info.run_name, known.info.status) == ("train_refiner", "FINISHED")
        points = client.get_metric_history(known.info.run_id, "loss")
        assert sorted((point.step, point.value) for point in points) == [
            (10, 10.5), (20, 20.5), (30, 30.5), (40, 40.5), (50, 50.5), (60, 60.25)
        ]  # fmt: skip
        params = {"seed": "0", "train.max_steps": "60", "train.name": "ä", "sources": "[{'format': 'world'}]"}
        assert known.data.params == params | {"empty": "{}"}
        (picture,) = client.list_artifacts(known.info.run_id, "samples")
        assert picture.path == "samples/step-00000030.png"

    def test_a_failed_training_is_shown_so(self, run, mlflow_store):
        open_tracker(run, mlflow=True).close(failed=True)
        known = mlflow_store().get_run(json.loads(run.get("tracking.json"))["mlflow"])
        assert known.info.status == "FAILED"

    def test_a_run_that_is_gone_is_one_line(self, run, mlflow_store):
        run.put("tracking.json", TrackingIds(mlflow="0" * 32).encode())
        with pytest.raises(TrackerError, match="^MLflow: Run '0{32}' not found"):
            open_tracker(run, mlflow=True)

    def test_a_dead_server_ends_no_training_and_shows_no_password(self, run, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
        with pytest.raises(TrackerError, match="^MLflow: .*127.0.0.1") as caught:
            open_tracker(run, mlflow=True)
        assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)

    def test_points_that_cannot_be_sent_are_a_warning(self, run, mlflow_store, logged):
        tracker = open_tracker(run, mlflow=True)
        mlflow_store().delete_run(json.loads(run.get("tracking.json"))["mlflow"])
        tracker.log(10, {"loss": 1.0})
        (record,) = logged
        assert "MLflow: " in record.getMessage() and "training goes on" in record.getMessage()
        tracker.close()


@pytest.mark.parametrize("service", ["wandb", "mlflow"])
def test_a_missing_package_is_named(run, monkeypatch, service):
    monkeypatch.setitem(sys.modules, service, None)
    message = rf"^tracking.{service}=true needs .*: pip install -e '\.\[{service}\]'$"
    with pytest.raises(TrackerError, match=message):
        open_tracker(run, **{service: True})
