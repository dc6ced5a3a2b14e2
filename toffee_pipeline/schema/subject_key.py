"""Which subject a pair shows, whichever id the plan gave it: what splits, caps and errors go by.

A folder or bank may be gone through several times, under a new `subject_id` each time. In a folder of folders a subject
is a folder, and so in a bank that was made of one. Each given pair has an id of its own: two show one subject where
their input image is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.schema.subjects import Subject


def subject_key(subject: Subject) -> str:
    """Of a subject of a plan, but for given pairs."""
    return _key(subject.subject_id, subject.path)


def num_distinct(subjects: Iterable[Subject]) -> int:
    return len({subject_key(subject) for subject in subjects})


def subject_key_of(row: Mapping[str, Any], given: bool) -> str:
    """Of a row of pairs. given: the run is of given pairs."""
    if given:
        return str(row["subject_phash"] or row["subject_id"])
    return _key(row["subject_id"], row["source_path"])


def subject_keys_of(rows: pa.Table, given: bool) -> pa.ChunkedArray:
    """`subject_key_of` each row, string (n,). rows: with `subject_id`, `source_path` and `subject_phash`."""
    known = rows["subject_phash"] if given else pc.replace_substring_regex(rows["source_path"], "(?s)/.*", "")
    return pc.coalesce(known, rows["subject_id"])


def _key(subject_id: str, path: str | None) -> str:
    return subject_id if path is None else path.split("/")[0]
