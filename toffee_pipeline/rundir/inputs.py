"""What a run was given that its config only names: its image files or its subject bank, as a list kept with the run."""

from __future__ import annotations

from typing import cast

from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.dataset import DatasetConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.plan.plan import make_plan
from toffee_pipeline.plan.subjects import FolderSubjects, ListedSource, SubjectPlan
from toffee_pipeline.rundir.bank import open_bank, stored_bank
from toffee_pipeline.rundir.description import DatasetRun, claim, read_run
from toffee_pipeline.rundir.layout import BANK, IMAGES, RUN
from toffee_pipeline.storage import Storage

LISTS = {"folder": IMAGES, "bank": BANK}
"""Where the list of a source lies, for the sources that have one."""


def new_plan(config: DatasetConfig) -> SubjectPlan:
    """The plan of a run with what its config names as it is now. Raises as `make_source` and `open_bank`."""
    bank = isinstance(config, RunConfig) and config.subjects.source == "bank"
    return make_plan(config, open_bank(cast(RunConfig, config)) if bank else None)


def stored_plan(storage: Storage, config: DatasetConfig) -> SubjectPlan:
    """The plan of a run, by the list that lies with it: the folder itself is not looked at, and of a bank only what the
    shards need.

    Raises MissingKey without such a list, PlanError where it is damaged.
    """
    key = LISTS.get(config.subjects.source)
    if key is None:
        return make_plan(config)
    data, name = storage.get(key), storage.path_for(key)
    if key == BANK:
        return make_plan(config, stored_bank(cast(RunConfig, config), data, name))
    return make_plan(config, FolderSubjects.stored(data, name))


def claim_dataset(storage: Storage, run: DatasetRun, plan: SubjectPlan) -> DatasetRun:
    """As `claim`, and keeps what the source of `plan` lists.

    Raises RunMismatch, also where a file of the folder, or a shard of the bank, is not as it was when the run began: it
    names the first.
    """
    key = LISTS.get(run.config.subjects.source)
    if key is None:
        return claim(storage, run)
    source = cast(ListedSource, plan.source)
    if storage.exists(RUN):
        known = read_run(storage)
        same_config = not differing_content(known.config, run.config)
        if same_config and storage.exists(key) and (changed := source.change(storage.get(key), storage.path_for(key))):
            raise RunMismatch(f"{storage.uri} holds a run of other images: {changed}")
    known = claim(storage, run)
    # after run.json, whose plan_hash covers the list: of several that begin at once, only what belongs to it is kept
    if not storage.exists(key):
        storage.put(key, source.to_bytes())
    return known
