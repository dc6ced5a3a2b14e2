"""Decides anew what is accepted, from the ledger's columns alone: other thresholds, and caps."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.config.refine_pairs import PairDatasetConfig, RefinementConfig
from toffee_pipeline.filters import JUDGED, SCORES, decide_all, keeps_images
from toffee_pipeline.rundir.alike import codes_of, pairs_of_alike
from toffee_pipeline.schema.subject_key import subject_keys_of

CAPS = {
    "subject_full": ("subject_key", "max_per_subject"),
    "class_full": ("class_name", "max_per_class"),
    "category_full": ("category", "max_per_category"),
}
"""Reason -> the column that is capped, and the setting; in the order in which they act. subject_key: of
`schema/subject_key.py`."""


def recut(rows: pa.Table, run: PairDatasetConfig, view: RefilterConfig) -> pa.Table:
    """The rows with the view's `status` and `reason`.

    A pair that failed, or was rejected before it was scored, stays what it is. A removal goes with the addition that it
    turns round where thresholds reject that one; a cap takes each on its own.

    Args:
        rows: of the ledger, with `index.COLUMNS`: all pairs of a subject, in any order.
        run: the settings of the run that made them.
    """
    judged = is_judged(rows)
    decided = decide_all(scores_of(rows), view.judge_of(run), rows["kind"].to_numpy())
    reasons = np.where(judged, decided, rows["reason"].to_numpy())
    additions = additions_of(rows)
    reasons[judged & (additions >= 0) & (reasons[additions] != None)] = "not_added"  # noqa: E711 (of each element)
    kept = _was_accepted_or(rows, [name for name in JUDGED if keeps_images(run.output.keep, name)])
    reasons[judged & ~kept & (reasons == None)] = "not_kept"  # noqa: E711
    if view.min_subject_hash_distance is not None:
        left = np.flatnonzero(judged & (reasons == None))  # noqa: E711
        reasons[left[pairs_of_alike(rows.take(left), view.min_subject_hash_distance)]] = "near_duplicate"
    keyed = rows.append_column("subject_key", subject_keys_of(rows, isinstance(run, RefinementConfig)))
    chance = np.random.default_rng(view.seed).permutation(len(rows))
    for reason, (column, setting) in CAPS.items():
        if (most := getattr(view, setting)) is not None:
            left = judged & (reasons == None)  # noqa: E711
            groups = codes_of(keyed[column])
            reasons[_too_many(groups, chance[left[chance]], most)] = reason
    reason = pa.array(reasons, pa.string())
    verdict = pc.if_else(pc.is_valid(reason), "rejected", "accepted")
    changed = {"status": pc.if_else(pa.array(judged), verdict, rows["status"]), "reason": reason}
    for name, values in changed.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows


def is_judged(rows: pa.Table) -> np.ndarray:
    """bool (n,): which pairs have finished scores, by the run's verdict on them."""
    return _was_accepted_or(rows, list(JUDGED))


def _was_accepted_or(rows: pa.Table, reasons: list[str]) -> np.ndarray:
    """bool (n,): which pairs the run accepted, or rejected for one of these reasons."""
    rejected = pc.is_in(rows["reason"], value_set=pa.array(reasons, pa.string()))
    found: np.ndarray = pc.or_(pc.equal(rows["status"], "accepted"), rejected).to_numpy()
    return found


def scores_of(rows: pa.Table) -> dict[str, np.ndarray]:
    """By name float64 (n,), as a single pair is judged; NaN where a pair has none."""
    columns = {score.name: rows[score.column].cast(pa.float64()) for score in SCORES}
    return {name: pc.fill_null(column, float("nan")).to_numpy() for name, column in columns.items()}


def additions_of(rows: pa.Table) -> np.ndarray:
    """int (n,): the row of the addition that each removal turns round; -1 of all other pairs."""
    turned, ids = (rows[name].combine_chunks() for name in ("reversed_from", "pair_id"))
    places = pc.index_in(turned, value_set=ids, skip_nulls=True)
    return np.asarray(pc.fill_null(places, -1).to_numpy(), np.int64)


def _too_many(groups: np.ndarray, rows: np.ndarray, most: int | str) -> np.ndarray:
    """Those of `rows` that come after the first `most` of their group. groups: int (n,), of every row."""
    counts = np.bincount(groups[rows])
    allowed = min(counts[counts > 0], default=0) if most == "fewest" else most
    order = rows[np.argsort(groups[rows], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return order[np.arange(len(order)) - starts[groups[order]] >= allowed]
