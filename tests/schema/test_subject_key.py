"""What a pair shows, by row and by column alike."""

import pyarrow as pa
import pytest

from toffee_pipeline.schema.subject_key import subject_key, subject_key_of, subject_keys_of
from toffee_pipeline.schema.subjects import Subject

ROWS = [
    {"subject_id": "s00000009", "source_path": None, "subject_phash": None},
    {"subject_id": "s00000009", "source_path": "s00000001", "subject_phash": "0f"},  # a bank's, the second time round
    {"subject_id": "s00000009", "source_path": "dog2/a/1.jpg", "subject_phash": "0f"},
    {"subject_id": "s00000009", "source_path": "dog.jpg", "subject_phash": "0f"},
    {"subject_id": "s00000009", "source_path": "two\nlines/two\nlines.jpg", "subject_phash": "0f"},
]
TABLE = pa.Table.from_pylist(ROWS, pa.schema([(name, pa.string()) for name in ROWS[0]]))


def test_a_subject_is_its_place_however_often_it_is_planned():
    keys = ["s00000009", "s00000001", "dog2", "dog.jpg", "two\nlines"]
    assert [subject_key_of(row, given=False) for row in ROWS] == keys
    assert [subject_key(Subject(row["subject_id"], "dog", "a dog", 0, row["source_path"])) for row in ROWS] == keys


def test_a_given_pair_is_its_input_image():
    assert [subject_key_of(row, given=True) for row in ROWS] == ["s00000009", "0f", "0f", "0f", "0f"]


@pytest.mark.parametrize("given", [False, True])
def test_columns_say_what_rows_say(given):
    assert subject_keys_of(TABLE, given).to_pylist() == [subject_key_of(row, given) for row in ROWS]
