"""Decides anew what is accepted, from the ledger's columns alone: other thresholds, and caps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.config.refine_pairs import PairDatasetConfig
from toffee_pipeline.filters import JUDGED, SCORES, decide_all, keeps_images

CAPS = {
    "subject_full": ("subject_id", "max_per_subject"),
    "class_full": ("class_name", "max_per_class"),
    "category_full": ("category", "max_per_category"),
}
"""Reason -> the column that is capped, and the setting; in the order in which they act."""


def recut(rows: pa.Table, run: PairDatasetConfig, view: RefilterConfig) -> pa.Table:
    """The rows with the view's `status` and `reason`.

    A pair that failed, or was rejected before it was scored, stays what it is. A removal goes with the addition that it
    turns round where thresholds reject that one; a cap takes each on its own.

    Args:
        rows: of the ledger, with `index.COLUMNS`: all pairs of a subject, in any order.
        run: the settings of the run that made them.
    """
    status, before = (rows[name].to_numpy() for name in ("status", "reason"))
    accepted_before = status == "accepted"
    judged = is_judged(rows)
    reasons = np.where(judged, decide_all(scores_of(rows), view.judge_of(run), rows["kind"].to_numpy()), before)
    additions = additions_of(rows)
    reasons[judged & (additions >= 0) & (reasons[additions] != None)] = "not_added"  # noqa: E711 (of each element)
    kept = accepted_before | np.isin(before, [name for name in JUDGED if keeps_images(run.output.keep, name)])
    reasons[judged & ~kept & (reasons == None)] = "not_kept"  # noqa: E711
    if view.min_subject_hash_distance is not None:
        left = np.flatnonzero(judged & (reasons == None))  # noqa: E711
        reasons[left[_near_duplicates(rows.take(left), view.min_subject_hash_distance)]] = "near_duplicate"
    chance = np.random.default_rng(view.seed).permutation(len(rows))
    for reason, (column, setting) in CAPS.items():
        if (most := getattr(view, setting)) is not None:
            left = judged & (reasons == None)  # noqa: E711
            groups = _codes(rows[column])
            reasons[_too_many(groups, chance[left[chance]], most)] = reason
    rejected = reasons != None  # noqa: E711
    changed = {
        "status": np.where(judged, np.where(rejected, "rejected", "accepted"), status),
        "reason": reasons,
    }
    for name, values in changed.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return rows


def is_judged(rows: pa.Table) -> np.ndarray:
    """bool (n,): which pairs have finished scores, by the run's verdict on them."""
    status, reason = (rows[name].to_numpy() for name in ("status", "reason"))
    return (status == "accepted") | np.isin(reason, list(JUDGED))


def scores_of(rows: pa.Table) -> dict[str, np.ndarray]:
    """By name float64 (n,), as a single pair is judged; NaN where a pair has none."""
    columns = {score.name: rows[score.column].cast(pa.float64()) for score in SCORES}
    return {name: pc.fill_null(column, float("nan")).to_numpy() for name, column in columns.items()}


def additions_of(rows: pa.Table) -> np.ndarray:
    """int (n,): the row of the addition that each removal turns round; -1 of all other pairs."""
    turned, ids = (rows[name].combine_chunks() for name in ("reversed_from", "pair_id"))
    places = pc.index_in(turned, value_set=ids, skip_nulls=True)
    return np.asarray(pc.fill_null(places, -1).to_numpy(), np.int64)


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """int (n,): equal where the values are."""
    codes: np.ndarray = column.combine_chunks().dictionary_encode().indices.to_numpy()
    return codes


def _near_duplicates(rows: pa.Table, bits: int) -> np.ndarray:
    """bool (n,): the pairs of subjects whose hash differs in less than `bits` from that of an earlier one of the class,
    which is none itself."""
    _, first, subject = np.unique(_codes(rows["subject_id"]), return_index=True, return_inverse=True)
    classes, hashes = _codes(rows["class_name"])[first], rows["subject_phash"].take(first).to_pylist()
    kept = {
        each: np.empty(count, np.uint64) for each, count in zip(*np.unique(classes, return_counts=True), strict=True)
    }
    num_kept = dict.fromkeys(kept, 0)
    alike = np.zeros(len(first), bool)
    for number in np.argsort(first):
        if (text := hashes[number]) is not None:
            name, value = classes[number], np.uint64(int(text, 16))
            alike[number] = (np.bitwise_count(kept[name][: num_kept[name]] ^ value) < bits).any()
            if not alike[number]:
                kept[name][num_kept[name]] = value
                num_kept[name] += 1
    found: np.ndarray = alike[subject]
    return found


def _too_many(groups: np.ndarray, rows: np.ndarray, most: int | str) -> np.ndarray:
    """Those of `rows` that come after the first `most` of their group. groups: int (n,), of every row."""
    counts = np.bincount(groups[rows])
    allowed = min(counts[counts > 0], default=0) if most == "fewest" else most
    order = rows[np.argsort(groups[rows], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return order[np.arange(len(order)) - starts[groups[order]] >= allowed]
