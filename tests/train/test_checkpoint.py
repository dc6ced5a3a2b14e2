"""Checkpoints: their JSON makes them count, the last ones are kept, leftovers go."""

import json
from pathlib import Path

import pytest
import torch

from tests.helpers.handed_over import change_json
from toffee_pipeline.errors import DamagedFile, MissingKey
from toffee_pipeline.storage import open_storage
from toffee_pipeline.train.checkpoint import load_checkpoint, save_checkpoint
from toffee_pipeline.train.data.stream import Position
from toffee_pipeline.train.saved import steps_saved

MAX_BYTES = 10_000


def state(value):
    tensor = torch.full((3,), float(value))
    moments = {"layer.weight": {"exp_avg": tensor * 2, "step": torch.tensor(float(value))}}
    groups = [{"lr": 1e-3, "betas": [0.9, 0.99], "params": ["layer.weight"]}]
    return {
        "network": {"layer.weight": tensor},
        "average": {"layer.weight": tensor / 2},
        "optimizer": {"state": moments, "param_groups": groups},
        "figures": {"loss": 0.5},
    }


def test_a_checkpoint_comes_back(tmp_path):
    storage = open_storage(str(tmp_path))
    save_checkpoint(storage, 7, state(7), [Position(3, 2), Position(4, 0)], keep=2)
    loaded, positions = load_checkpoint(storage, 7, MAX_BYTES)
    assert positions == [Position(3, 2), Position(4, 0)]
    expected = state(7)
    torch.testing.assert_close(loaded["network"], expected["network"])
    torch.testing.assert_close(loaded["average"], expected["average"])
    torch.testing.assert_close(loaded["optimizer"]["state"], expected["optimizer"]["state"])
    assert loaded["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    assert loaded["figures"] == {"loss": 0.5}


def test_the_last_ones_stay_and_leftovers_go(tmp_path):
    storage = open_storage(str(tmp_path))
    for step in (2, 4):
        save_checkpoint(storage, step, state(step), [], keep=2)
    storage.put("checkpoints/step-00000005-network.safetensors", b"of a killed try")
    storage.put("checkpoints/step-00000099-network.safetensors", b"another try writes it now")
    assert steps_saved(storage) == [2, 4]
    save_checkpoint(storage, 6, state(6), [], keep=2)
    assert steps_saved(storage) == [4, 6]
    left = {key.split("/")[1][:13] for key, _ in storage.list("checkpoints/")}
    assert left == {"step-00000004", "step-00000006", "step-00000099"}
    with pytest.raises(MissingKey):
        load_checkpoint(storage, 99, MAX_BYTES)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]"])
@pytest.mark.parametrize("part", ["network", "average", "optimizer"])
def test_a_part_that_is_no_safetensors_is_damaged(part, content, tmp_path):
    storage = open_storage(str(tmp_path))
    save_checkpoint(storage, 7, state(7), [], keep=2)
    storage.put(key := f"checkpoints/step-00000007-{part}.safetensors", content)
    with pytest.raises(DamagedFile, match=f"{key}: damaged: .+"):
        load_checkpoint(storage, 7, MAX_BYTES)


def test_of_a_part_no_more_is_copied_than_the_network_has(tmp_path):
    storage = open_storage(str(tmp_path))
    save_checkpoint(storage, 7, state(7), [], keep=2)
    with (tmp_path / "checkpoints/step-00000007-network.safetensors").open("r+b") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(DamagedFile, match=f"{3 * 2**30} bytes; allowed are {MAX_BYTES}"):
        load_checkpoint(storage, 7, MAX_BYTES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("positions", [[10**30, 0]]),
        ("positions", [[0, 10**30]]),
        ("positions", [[-1, 0]]),
        ("positions", [[0, -1]]),
        ("step", 8),
    ],
)
def test_facts_that_no_training_has_are_damaged(key, value, tmp_path):
    storage = open_storage(str(tmp_path))
    save_checkpoint(storage, 7, state(7), [Position(0, 0)], keep=2)
    change_json(Path(tmp_path, "checkpoints/step-00000007.json"), lambda facts: facts.update({key: value}))
    with pytest.raises(DamagedFile, match="step-00000007.json: damaged: "):
        load_checkpoint(storage, 7, MAX_BYTES)


def test_files_that_no_training_wrote_are_neither_steps_nor_deleted(tmp_path):
    storage = open_storage(str(tmp_path))
    strange = ["checkpoints/step-99999999999999999999.json", "checkpoints/step-mine.json"]
    for key in strange:
        storage.put(key, json.dumps({}).encode())
    for step in (2, 4):
        save_checkpoint(storage, step, state(step), [], keep=1)
    assert steps_saved(storage) == [4]
    assert all(map(storage.exists, strange))
