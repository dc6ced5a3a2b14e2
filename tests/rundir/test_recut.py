"""Near-duplicates over many subjects, against the rule said one subject at a time."""

import numpy as np
import pyarrow as pa
import pytest

from toffee_pipeline.config.load import load_config
from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.rundir.index import SCHEMA
from toffee_pipeline.rundir.recut import recut


@pytest.mark.parametrize("bits", [1, 20, 26])
def test_a_subject_goes_by_the_earlier_ones_of_its_class_that_stay(bits):
    rng = np.random.default_rng(bits)
    classes, hashes = rng.integers(0, 2, 700), rng.integers(0, 2**63, 700)
    hashes[rng.random(700) < 0.2] = 7
    texts = [f"{value:016x}" if number % 50 else None for number, value in enumerate(hashes)]
    columns = {
        "pair_id": [f"p{number}" for number in range(1400)],
        "subject_id": [f"s{number // 2}" for number in range(1400)],
        "class_name": [f"class {classes[number // 2]}" for number in range(1400)],
        "kind": ["generation"] * 1400,
        "category": ["style"] * 1400,
        "status": ["accepted"] * 1400,
        "subject_phash": [texts[number // 2] for number in range(1400)],
        "dino_score": [0.8] * 1400,
        "clip_score": [0.9] * 1400,
    }
    rows = pa.table([pa.array(columns.get(field.name, [None] * 1400), field.type) for field in SCHEMA], SCHEMA)
    view = RefilterConfig(min_subject_hash_distance=bits, filter={"max_dino": None})
    reasons = recut(rows, load_config("nano", ("stages.judge.min_clip_gain=null",)), view)["reason"].to_pylist()
    kept, near = {0: [], 1: []}, []
    for text, group, value in zip(texts, classes, hashes.tolist(), strict=True):
        near.append(text is not None and any((value ^ other).bit_count() < bits for other in kept[group]))
        if text is not None and not near[-1]:
            kept[group].append(value)
    assert any(near) and not all(near)
    assert reasons == ["near_duplicate" if near[number // 2] else None for number in range(1400)]


def test_a_cap_counts_what_a_pair_shows_and_not_visits():
    """Two folders with two photographs each, gone through 25 times under a new id each time."""
    photos = ("dog1/0.jpg", "dog1/1.jpg", "dog2/0.jpg", "dog2/deeper/1.jpg")
    columns = {
        "pair_id": [f"p{number}" for number in range(100)],
        "subject_id": [f"s{number}" for number in range(100)],
        "source_path": [photos[number % 4] for number in range(100)],
        "class_name": ["dog"] * 100,
        "kind": ["generation"] * 100,
        "category": ["style"] * 100,
        "status": ["accepted"] * 100,
        "dino_score": [0.8] * 100,
        "clip_score": [0.9] * 100,
    }
    rows = pa.table([pa.array(columns.get(field.name, [None] * 100), field.type) for field in SCHEMA], SCHEMA)
    view = RefilterConfig(max_per_subject=3, filter={"max_dino": None})
    cut = recut(rows, load_config("nano", ("stages.judge.min_clip_gain=null",)), view).to_pylist()
    left = [row["source_path"].split("/")[0] for row in cut if row["status"] == "accepted"]
    assert sorted(left) == ["dog1"] * 3 + ["dog2"] * 3
