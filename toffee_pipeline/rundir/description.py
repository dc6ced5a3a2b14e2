"""run.json: what a run directory holds. It is written before anything else and read before anything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import ClassVar, Generic, Self, TypeVar

from pydantic import AwareDatetime

from toffee_pipeline.config.base import Positive, differing_content
from toffee_pipeline.config.dataset import DatasetConfig, ImageDatasetConfig
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.config.generate_subjects import SubjectBankConfig
from toffee_pipeline.config.refilter import RefilterConfig
from toffee_pipeline.config.refine_pairs import PairDatasetConfig, RefinementConfig
from toffee_pipeline.config.train import TrainingConfig
from toffee_pipeline.errors import MissingKey, NoRun, OtherVersion, RunMismatch
from toffee_pipeline.plan.shards import ShardPlan
from toffee_pipeline.rundir.layout import FOLDERS, RUN, SHARD_FILE
from toffee_pipeline.rundir.run_file import MAX_SMALL_BYTES, Number, Part, RunFile, decode
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.schema.pictures import PICTURES
from toffee_pipeline.schema.subjects import SUBJECTS
from toffee_pipeline.schema.table import SCHEMA_VERSION, Table
from toffee_pipeline.storage import Storage

PLACE = re.compile(r"models\.\w+\.path")
"""The setting that says where weights lie; whose they are, roles say by their hash."""
NAMED_WEIGHTS = re.compile(r"pretrained .* ([0-9a-f]{16})", re.DOTALL)


class RunHeader(RunFile):
    """What every run.json says."""

    job: str
    """jobs/JOB.py made it."""
    schema_version: int = SCHEMA_VERSION
    code_version: str
    created: AwareDatetime

    @classmethod
    def now(cls, job: str, **content: object) -> Self:
        """Of a run that begins."""
        created = datetime.now(UTC).replace(microsecond=0)
        return cls.model_validate(
            {"job": job, "code_version": version("toffee-pipeline"), "created": created, **content}
        )

    def differences(self, known: Self) -> list[str]:
        """In what two runs of one job differ, so that they cannot share a directory."""
        return []


class DatasetRun(RunHeader):
    """Of the jobs that write a table shard by shard. num_rows: pairs, subjects of a bank, or pictures of an evaluation;
    roles: who plays each model role, in words."""

    table: ClassVar[Table]

    config: DatasetConfig
    plan_hash: str
    num_rows: Number
    num_shards: Number
    roles: dict[str, str]

    @classmethod
    def of(cls, config: DatasetConfig, plan: ShardPlan, roles: Mapping[str, str]) -> Self:
        return cls.now(
            config.job,
            config=config,
            plan_hash=plan.hash,
            num_rows=plan.num_rows,
            num_shards=len(plan),
            roles=roles,
        )

    def differences(self, known: Self) -> list[str]:
        """Weights that only moved are no difference."""
        keys = differing_content(known.config, self.config)
        different = [key for key in keys if not PLACE.fullmatch(key)] + _other_weights(known.roles, self.roles)
        if not different and known.plan_hash != self.plan_hash:
            return ["the plan's inputs (catalogue, image folder, subject bank, benchmark, drawn pictures or pairs)"]
        return different


def _other_weights(known: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The roles that others would play now. Of files their hash counts, and not the name of their folder."""
    changed = [
        f"{label} ({known.get(label, 'nobody')} then, {now.get(label, 'nobody')} now)"
        for label in dict.fromkeys((*known, *now))
        if _identity(known.get(label)) != _identity(now.get(label))
    ]
    if not changed:
        return []
    return [f"the weights of {', '.join(changed)}: go on with those of then, or choose another --output"]


def _identity(words: str | None) -> str | None:
    named = NAMED_WEIGHTS.fullmatch(words) if words is not None else None
    return named[1] if named else words


class ImageDatasetRun(DatasetRun):
    """Of the jobs that make images, and a report of them."""

    config: ImageDatasetConfig


class PairRun(ImageDatasetRun):
    """Of the jobs that make pairs."""

    table = PAIRS
    config: PairDatasetConfig


class GenerationRun(PairRun):
    """Of jobs/generate.py."""

    config: RunConfig


class RefinementRun(PairRun):
    """Of jobs/refine_pairs.py."""

    config: RefinementConfig


class ViewRun(PairRun):
    """Of jobs/refilter.py: a run of pairs under other verdicts.

    config: the run's, with the view's thresholds. view: its settings. source: URI of the run. materialized: with files
    of its own; else its shards' files lie in the run. shards_together: so many shards of the plan are one of the view,
    which has their rows in their order; 1 where its files lie in the run.
    """

    view: RefilterConfig
    source: str
    materialized: bool
    shards_together: Positive = 1

    @classmethod
    def of_run(cls, run: PairRun, uri: str, view: RefilterConfig, shards_together: int | None) -> Self:
        """shards_together: None: without files of its own."""
        whole, together = shards_together is not None, shards_together or 1
        judge = view.judge_of(run.config)
        config = run.config.model_copy(update={"stages": run.config.stages.model_copy(update={"judge": judge})})
        if whole:
            config = config.model_copy(update={"output": config.output.model_copy(update={"keep": "accepted"})})
        return cls.now(
            RefilterConfig.job,
            config=config,
            view=view.model_copy(update={"filter": judge}),
            source=uri,
            materialized=whole,
            shards_together=together,
            num_shards=-(-run.num_shards // together),
            **run.model_dump(include={"plan_hash", "num_rows", "roles"}),
        )

    def differences(self, known: Self) -> list[str]:
        places = [name for name in ("source", "materialized") if getattr(known, name) != getattr(self, name)]
        return [*differing_content(known.view, self.view), *super().differences(known), *places]


class SubjectBankRun(ImageDatasetRun):
    """Of jobs/generate_subjects.py."""

    table = SUBJECTS
    config: SubjectBankConfig


class EvaluationRun(DatasetRun):
    """Of jobs/evaluate.py."""

    table = PICTURES
    config: EvaluationConfig


DATASET_RUNS: dict[str, type[DatasetRun]] = {
    RunConfig.job: GenerationRun,
    SubjectBankConfig.job: SubjectBankRun,
    RefinementConfig.job: RefinementRun,
    EvaluationConfig.job: EvaluationRun,
    RefilterConfig.job: ViewRun,
}
"""What run.json says, by job."""
PAIR_RUNS: dict[str, type[PairRun]] = {RunConfig.job: GenerationRun, RefinementConfig.job: RefinementRun}


class TrainingFiles(Part):
    """The files of `data.sources`: how many, and the SHA-256 of their names."""

    num_files: Number
    sha256: str


C = TypeVar("C", bound=TrainingConfig)


class TrainingRun(RunHeader, Generic[C]):
    """Of the training jobs. models: the weights where training starts and those that are frozen, in words."""

    config: C
    data: TrainingFiles
    models: dict[str, str]

    def differences(self, known: Self) -> list[str]:
        different = differing_content(known.config, self.config)
        if known.data != self.data:
            different.append(
                f"the files of data.sources ({known.data.num_files} then, {self.data.num_files} now)",
            )
        if known.models != self.models:
            different.append("the weights in models")
        return different


R = TypeVar("R", bound=RunHeader)


def claim(storage: Storage, run: R) -> R:
    """Writes run.json where there is none, or checks that the one that is there belongs to the same content. Returns
    what is there: `run`, or what an earlier start wrote.

    Raises:
        RunMismatch: with the differing keys: a run directory holds one run.
        NoRun, OtherVersion, DamagedFile: as `read_run`; also where shards lie without a run.json.
    """
    if not storage.exists(RUN):
        for folder in FOLDERS:
            if any(SHARD_FILE.fullmatch(key) for key, _ in storage.list(f"{folder}/")):
                raise NoRun(f"{storage.uri}: shards without a {RUN}: choose another --output, or empty this one")
        if storage.put_if_absent(RUN, run.encode()):
            return run
    known = _read(storage, {run.job: type(run)})
    if different := run.differences(known):
        raise RunMismatch(f"{storage.uri} holds another run; it differs in: {', '.join(different)}")
    return known


def read_run(storage: Storage) -> DatasetRun:
    """run.json of a run of a job that writes a table shard by shard. Whoever reads, lists or deletes anything else in
    the directory calls this first: only of a known version is it known what lies where.

    Raises:
        NoRun: there is none, or it is of another job.
        OtherVersion: it is of another layout or schema.
        DamagedFile: it cannot be understood.
        OSError: the store failed.
    """
    return _read(storage, DATASET_RUNS)


def read_pairs(storage: Storage) -> PairRun:
    """run.json of a run whose rows are pairs, but of no view. Raises as `read_run`."""
    return _read(storage, PAIR_RUNS)


def read_pairs_with_files(storage: Storage) -> PairRun:
    """run.json of a run whose rows are pairs, or of a view with files of its own.

    Raises as `read_run`; NoRun, which names the run, also for a view without.
    """
    kinds: dict[str, type[PairRun]] = {**PAIR_RUNS, RefilterConfig.job: ViewRun}
    run = _read(storage, kinds)
    if isinstance(run, ViewRun) and not run.materialized:
        raise NoRun(f"{storage.path_for(RUN)}: of a view without files of its own; take its run: {run.source}")
    return run


def read_view(storage: Storage) -> ViewRun:
    """run.json of a view. Raises as `read_run`."""
    return _read(storage, {RefilterConfig.job: ViewRun})


def read_bank(storage: Storage) -> SubjectBankRun:
    """run.json of a subject bank. Raises as `read_run`."""
    return _read(storage, {SubjectBankConfig.job: SubjectBankRun})


def read_training(storage: Storage, config_class: type[C]) -> TrainingRun[C]:
    """run.json of a training of this class. Raises as `read_run`."""
    return _read(storage, {config_class.job: TrainingRun[config_class]})  # type: ignore[valid-type]


def read_header(storage: Storage) -> RunHeader:
    """What every run.json says, of whatever job. Raises as `read_run`."""
    return decode(RunHeader, _data(storage, "any job"), storage.path_for(RUN))


def _read(storage: Storage, kinds: Mapping[str, type[R]]) -> R:
    """kinds: by job, those that are allowed."""
    name, allowed = storage.path_for(RUN), " or ".join(f"jobs/{job}.py" for job in kinds)
    data = _data(storage, allowed)
    header = decode(RunHeader, data, name)
    if header.job not in kinds:
        raise NoRun(f"{name}: of a run of jobs/{header.job}.py, not of {allowed}")
    if header.schema_version != SCHEMA_VERSION:
        raise OtherVersion(f"{name}: schema version {header.schema_version}, this code reads {SCHEMA_VERSION}")
    return decode(kinds[header.job], data, name, storage.endpoint_url)


def _data(storage: Storage, allowed: str) -> bytes:
    try:
        return storage.get(RUN, MAX_SMALL_BYTES)
    except MissingKey as error:
        raise NoRun(f"{storage.path_for(RUN)}: no such file; a run directory of {allowed} is expected") from error
