"""What a run was given that its config only names: its image files, subject bank, benchmark or pairs, as lists kept
with the run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import cast

from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.dataset import DatasetConfig, SubjectDatasetConfig
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.refine_pairs import RefinementConfig
from toffee_pipeline.errors import PlanError, RunMismatch
from toffee_pipeline.pairsets.pairset import PairSet, files_of, write_list
from toffee_pipeline.plan.benchmark import Benchmark
from toffee_pipeline.plan.evaluation import EvaluationPlan
from toffee_pipeline.plan.listed_images import ListedImages
from toffee_pipeline.plan.plan import make_plan
from toffee_pipeline.plan.refinement import RefinementPlan
from toffee_pipeline.plan.shards import ListedSource, ShardPlan, bounded
from toffee_pipeline.plan.subjects import CatalogSubjects, FolderSubjects, SubjectPlan
from toffee_pipeline.rundir.bank import open_bank, stored_bank
from toffee_pipeline.rundir.description import DatasetRun, claim, read_run
from toffee_pipeline.rundir.layout import BANK, BENCHMARK, IMAGES, PAIR_LIST, RUN
from toffee_pipeline.rundir.prompt_bank import load_prompts
from toffee_pipeline.storage import Storage, open_storage

LISTS = {"folder": IMAGES, "bank": BANK}
"""Where the list of a source of subjects lies, for the sources that have one."""


def list_keys(config: DatasetConfig) -> tuple[str, ...]:
    """Where the lists of what the config only names lie."""
    if isinstance(config, EvaluationConfig):
        return (BENCHMARK,) if config.images is None else (BENCHMARK, IMAGES)
    if isinstance(config, RefinementConfig):
        return (PAIR_LIST,)
    assert isinstance(config, SubjectDatasetConfig)  # there is no other job with shards
    key = LISTS.get(config.subjects.source)
    return () if key is None else (key,)


def _lists(plan: ShardPlan) -> dict[str, ListedSource | PairSet]:
    """What the plan lists, by where it lies."""
    sources = [plan.source, plan.drawn] if isinstance(plan, EvaluationPlan) else [plan.source]
    return dict(zip(list_keys(plan.config), cast(list[ListedSource | PairSet], sources), strict=False))


def new_plan(config: DatasetConfig, storage: Storage | None = None, allow_gaps: bool = False) -> ShardPlan:
    """The plan of a run with what its config names as it is now.

    storage: of the run, where it may have begun; pairs that are listed there are not listed again, if their files are
        the same.
    allow_gaps: of quotas above the plan's size too, so that a survey can name them; else they raise PlanError.

    Raises as `make_source`, `open_bank`, `load_prompts`, `load_benchmark`, `write_list` and `bounded`.
    """
    plan = bounded(_new_plan(config, storage))
    source = plan.source if isinstance(plan, SubjectPlan) else None
    if isinstance(source, CatalogSubjects) and source.shares.gap and not allow_gaps:
        raise PlanError(source.shares.gap)
    return plan


def _new_plan(config: DatasetConfig, storage: Storage | None) -> ShardPlan:
    if isinstance(config, EvaluationConfig):
        return EvaluationPlan(config)
    if isinstance(config, RefinementConfig):
        return RefinementPlan(config, _pair_set(config, storage))
    assert isinstance(config, SubjectDatasetConfig)  # there is no other job with shards
    bank = isinstance(config, RunConfig) and config.subjects.source == "bank"
    return make_plan(config, open_bank(cast(RunConfig, config)) if bank else None, load_prompts(config))


def _pair_set(config: RefinementConfig, storage: Storage | None) -> PairSet:
    files = files_of(config.source)
    if storage is not None and storage.exists(PAIR_LIST) and (known := PairSet(storage, PAIR_LIST)).files == files:
        return known
    folder = tempfile.TemporaryDirectory()
    write_list(config.source, files, Path(folder.name, "pairs"))
    return PairSet(open_storage(folder.name), "pairs", folder)


def stored_plan(storage: Storage, config: DatasetConfig) -> ShardPlan:
    """The plan of a run, by the list that lies with it: folders are not looked at, and of a bank only what the shards
    need.

    Raises MissingKey without such a list, PlanError where it is damaged, and as `bounded`.
    """
    return bounded(_stored_plan(storage, config))


def _stored_plan(storage: Storage, config: DatasetConfig) -> ShardPlan:
    if isinstance(config, EvaluationConfig):
        benchmark = Benchmark.from_bytes(storage.get(BENCHMARK), storage.path_for(BENCHMARK))
        given = config.images is not None
        drawn = ListedImages.stored(storage.get(IMAGES), storage.path_for(IMAGES)) if given else None
        return EvaluationPlan(config, benchmark, drawn)
    if isinstance(config, RefinementConfig):
        return RefinementPlan(config, PairSet(storage, PAIR_LIST))
    assert isinstance(config, SubjectDatasetConfig)  # there is no other job with shards
    prompts = load_prompts(config)
    if not (keys := list_keys(config)):
        return make_plan(config, None, prompts)
    (key,) = keys
    data, name = storage.get(key), storage.path_for(key)
    if key == BANK:
        return make_plan(config, stored_bank(cast(RunConfig, config), data, name), prompts)
    return make_plan(config, FolderSubjects.stored(data, name), prompts)


def plan_of_run(storage: Storage, config: SubjectDatasetConfig) -> SubjectPlan:
    """`stored_plan` of the run that lies in `storage`, for whoever computes its shards.

    A catalogue and a prompt bank lie outside of the run and are read again here, in each process: one that was edited
    meanwhile would give other rows the ids of the planned ones.

    Raises RunMismatch where they plan something else than the run does, and as `stored_plan` and `read_run`.
    """
    plan = cast(SubjectPlan, stored_plan(storage, config))
    if plan.hash != (known := read_run(storage).plan_hash):
        files = [f"subjects.catalog={config.subjects.catalog}"]
        if isinstance(config, RunConfig) and config.pairs.prompt_bank is not None:
            files.append(f"pairs.prompt_bank={config.pairs.prompt_bank}")
        raise RunMismatch(
            f"{storage.uri}: planned again, plan {known} is {plan.hash}: {' or '.join(files)} has changed since the "
            "run began"
        )
    return plan


def claim_dataset(storage: Storage, run: DatasetRun, plan: ShardPlan) -> DatasetRun:
    """As `claim`, and keeps what the source of `plan` lists.

    Raises RunMismatch, also where a file of the folder, a shard of the bank, a subject of the benchmark or a drawn
    picture is not as it was when the run began: it names the first.
    """
    lists = _lists(plan)
    if lists and storage.exists(RUN) and not differing_content(read_run(storage).config, run.config):
        for key, listed in lists.items():
            if storage.exists(key) and (changed := _change(storage, key, listed)):
                raise RunMismatch(f"{storage.uri} holds a run of other images: {changed}")
    known = claim(storage, run)
    # after run.json, whose plan_hash covers them: of several that begin at once, only what belongs to it is kept
    for key, listed in lists.items():
        if storage.exists(key):
            continue
        if isinstance(listed, PairSet):
            listed.copy_to(storage, key)
        else:
            storage.put(key, listed.to_bytes())
    return known


def _change(storage: Storage, key: str, listed: ListedSource | PairSet) -> str | None:
    if isinstance(listed, PairSet):
        return listed.change(PairSet(storage, key))
    return listed.change(storage.get(key), storage.path_for(key))
