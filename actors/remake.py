"""One pair of a run made again from its row and run.json alone: its subject and itself, not its shard. A given pair is
read from its set.

Seeds are each sample's own and micro-batches are padded to one size, so that on the same kind of machine every bit is
what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.chain import StageChain, stages_of
from actors.guard import NoGuard
from actors.read import fill
from actors.read_pairs import ReadPairs
from actors.shard import PairState, Shard, SubjectState
from actors.stage import StageTable, no_progress
from actors.write import Write
from toffee_pipeline.config.refine_pairs import PairDatasetConfig, RefinementConfig
from toffee_pipeline.errors import RunError, RunMismatch, SampleError
from toffee_pipeline.models.roles import describe_roles
from toffee_pipeline.rundir.bank import stored_bank
from toffee_pipeline.rundir.description import PairRun, read_pairs_with_files
from toffee_pipeline.rundir.image_difference import ImageDifference, compare_images, levels_of
from toffee_pipeline.rundir.layout import BANK
from toffee_pipeline.rundir.stored_pair import StoredPair, read_pair
from toffee_pipeline.schema.pairs import planned_from
from toffee_pipeline.storage import Storage

SUBJECT_STAGES = ("synthesize", "segment", "depth", "draft")
PAINTING_STAGES = {"generation": (*SUBJECT_STAGES, "refine", "view"), "edit": (*SUBJECT_STAGES, "edit")}
"""What makes the pictures of a pair, by its kind."""


def remake(storage: Storage, pair_id: str, device: str | None = None) -> list[ImageDifference]:
    """Computes the pair in this process, and holds its pictures against the stored ones.

    Args:
        storage: of the run, or of a view with files of its own.
        device: auto, cpu or cuda; None: what the run's config says.

    Raises:
        RunMismatch: weights, or the subject bank, are not what they were.
        RunError: the pair fails now, such as by a file of the user's that is gone.
        NoRun, OtherVersion, PlanError, DamagedFile, OSError: as `read_pairs_with_files`, `read_pair` and `levels_of`.
    """
    run = read_pairs_with_files(storage)
    stored = read_pair(storage, run, pair_id)
    config = run.config.model_copy(update={"device": device}) if device else run.config
    stages = {name: stage for name, stage in stages_of(config).items() if name in PAINTING_STAGES[stored.row["kind"]]}
    _require_same_weights(run, config, stages)
    known = levels_of(stored.images, config.size_px)  # before models load: memory goes by the size in run.json
    if isinstance(config, RefinementConfig):
        shard = _given(config, storage, stored)
    else:
        shard = _shard_of(stored)
        if config.subjects.source == "bank":
            bank = stored_bank(config, storage.get(BANK), storage.path_for(BANK))
            fill(shard, bank, config.stages.segment)
    chain = StageChain(config, list(stages.values()), no_progress, NoGuard(), num_threads=config.fused.num_threads)
    try:
        chain(shard)
    except SampleError as error:  # a class or a change that whoever draws it does not know
        raise RunError(f"{pair_id} cannot be made again: {error}") from error
    state = shard.pairs[-1]
    if state.error is not None:
        raise RunError(f"{state.id} cannot be made again: {state.error}")
    cells = Write(config, storage.uri).images(shard, state)
    images = {name: cell["bytes"] for name, cell in cells.items() if cell is not None}
    if state.reason is not None and state.reason == stored.row["reason"]:
        # it ended where it had ended: what its row has beyond came from its subject's other pairs
        return compare_images({name: known[name] for name in known if name in images}, images, config.max_pixels)
    return compare_images(known, images, config.max_pixels, f"the pair is rejected now: {state.reason}")


def _require_same_weights(run: PairRun, config: PairDatasetConfig, stages: StageTable) -> None:
    """As far as run.json tells them apart: files by their digest, hub ids by their revision."""
    roles = dict.fromkeys(role for stage in stages.values() for role in stage.roles)
    changed = [
        f"{label} ({run.roles.get(label, 'nobody')} then, {words} now)"
        for label, words in describe_roles(config, roles).items()
        if run.roles.get(label) != words
    ]
    if changed:
        raise RunMismatch(f"its pictures were made by others than this machine has: {'; '.join(changed)}")


def _shard_of(stored: StoredPair) -> Shard:
    """The pair behind the one that it turns round."""
    rows: list[Mapping[str, Any]] = [row for row in (stored.addition, stored.row) if row is not None]
    planned = [planned_from(row) for row in rows]
    _, subject = planned[-1]
    return Shard(stored.shard, {subject.subject_id: SubjectState(subject)}, [PairState(pair) for pair, _ in planned])


def _given(config: RefinementConfig, storage: Storage, stored: StoredPair) -> Shard:
    """The pair alone, with its images as its set holds them now."""
    reader = ReadPairs(config, storage.uri)
    planned = reader.plan.planned(stored.shard)
    return reader.read(stored.shard, [each for each in planned if each.pair.pair_id == stored.row["pair_id"]])
