"""Subjects that look alike, by their perceptual hashes. Shards know nothing of each other: a whole run has to be looked
at for them."""

from __future__ import annotations

from array import array
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.parquet_file import ParquetFile, read_group, sound
from toffee_pipeline.rundir.counts import Alike
from toffee_pipeline.rundir.layout import INDEX
from toffee_pipeline.storage import Storage

MAX_COMPARED = 2**22
"""Hashes that are held against each other at a time: 8 bytes each."""
MAX_OF_CLASS = 2**13
"""Subjects of a class that `find_alike` holds against each other: some 0.2 s for a class."""


def find_alike(storage: Storage, config: DatasetConfig) -> Alike | None:
    """How many subjects with accepted pairs look like an earlier one of their class, over a whole run; None where its
    config lets them, or where they were not made with it.

    In memory are 8 bytes for a subject, and a row group of the index, which is written already. Raises DamagedFile.
    """
    if not isinstance(config, RunConfig) or (bits := config.stages.synthesize.min_hash_distance) is None:
        return None
    hashes: dict[str, array[int]] = defaultdict(lambda: array("Q"))
    columns = ["subject_id", "class_name", "subject_phash"]
    last = None
    with sound(storage.path_for(INDEX)), storage.open(INDEX) as opened:
        parquet = ParquetFile(opened)
        for number in range(parquet.num_row_groups):
            rows = read_group(parquet, number, [*columns, "status"])
            rows = rows.filter(pc.and_(pc.equal(rows["status"], "accepted"), pc.is_valid(rows["subject_phash"])))
            for subject, class_name, text in zip(*(rows[name].to_pylist() for name in columns), strict=True):
                if subject != last:  # a subject's rows are neighbours
                    hashes[class_name].append(int(text, 16))
                last = subject
    compared = [np.frombuffer(found, np.uint64)[:MAX_OF_CLASS] for found in hashes.values()]
    number = sum(map(len, hashes.values()))
    return Alike(
        bits=bits,
        compared=sum(map(len, compared)),
        alike=sum(int(near_an_earlier(found, bits).sum()) for found in compared),
        not_compared=number - sum(map(len, compared)),
    )


def said_of_alike(found: Alike) -> str:
    """In a sentence, with how to drop them."""
    rest = f" ({found.not_compared} more, of large classes, were not compared)" if found.not_compared else ""
    drop = f"; jobs/refilter.py --set min_subject_hash_distance={found.bits} drops them" if found.alike else ""
    return f"{found.alike} of {found.compared} subjects look like an earlier one of their class{rest}{drop}"


def pairs_of_alike(rows: pa.Table, bits: int) -> np.ndarray:
    """bool (n,): the pairs of subjects whose hash differs in less than `bits` from that of an earlier one of the class,
    which is none itself. rows: with `subject_id`, `class_name` and `subject_phash`."""
    subject = codes_of(rows["subject_id"])  # they count up as subjects come
    first = np.empty(subject.max(initial=-1) + 1, np.int64)
    first[subject[::-1]] = np.arange(len(rows))[::-1]
    texts = rows["subject_phash"].take(first)
    hashed = np.flatnonzero(pc.is_valid(texts).to_numpy())
    hashes = np.frombuffer(bytes.fromhex("".join(texts.drop_null().to_pylist())), ">u8").astype(np.uint64)
    classes = codes_of(rows["class_name"])[first[hashed]]
    order = np.argsort(classes, kind="stable")
    alike = np.zeros(len(first), bool)
    for group in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        alike[hashed[group]] = near_an_earlier(hashes[group], bits)
    found: np.ndarray = alike[subject]
    return found


def near_an_earlier(hashes: np.ndarray, bits: int) -> np.ndarray:
    """bool (n,): which differ in less than `bits` from an earlier one that is none of these. hashes: uint64 (n,)."""
    near_one = np.zeros(len(hashes), bool)
    size = min(256, MAX_COMPARED // max(len(hashes), 1) + 1)
    for start in range(0, len(hashes), size):
        block = slice(start, start + size)
        near = np.bitwise_count(hashes[block, None] ^ hashes[None, : block.stop]) < bits
        near_one[block] = (near[:, :start] & ~near_one[:start]).any(axis=1)
        inside = np.tril(near[:, start:], -1)
        # in order, since what a row is near to may itself be near to an earlier one
        for row in np.flatnonzero(inside.any(axis=1)):
            near_one[start + row] |= (inside[row] & ~near_one[block]).any()
    return near_one


def codes_of(column: pa.ChunkedArray) -> np.ndarray:
    """int (n,): equal where the values are."""
    codes: np.ndarray = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return codes
