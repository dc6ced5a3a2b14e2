"""What a run was given that its config only names: the list of the user's image files, kept with the run."""

from __future__ import annotations

from collections.abc import Sequence

from toffee_pipeline.config.base import differing_content
from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.errors import RunMismatch
from toffee_pipeline.plan.folder import FolderImage, first_difference, from_bytes, to_bytes
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.description import GenerationRun, claim, read_run
from toffee_pipeline.rundir.layout import IMAGES, RUN
from toffee_pipeline.storage import Storage


def claim_generation(storage: Storage, run: GenerationRun, plan: Plan) -> GenerationRun:
    """As `claim`, and keeps the list of images that `plan` was made with.

    Raises RunMismatch, also where a file of the folder is not as it was when the run began: it names the first.
    """
    if plan.images is not None and storage.exists(RUN):
        known = read_run(storage)
        same_config = not differing_content(known.config, run.config)
        if same_config and storage.exists(IMAGES) and (changed := _first_change(storage, plan.images)):
            raise RunMismatch(f"{storage.uri} holds a run of other images: {changed}")
    known = claim(storage, run)
    # after run.json, whose plan_hash covers the list: of several that begin at once, only what belongs to it is kept
    if plan.images is not None and not storage.exists(IMAGES):
        storage.put(IMAGES, to_bytes(plan.images))
    return known


def stored_plan(storage: Storage, config: RunConfig) -> Plan:
    """The plan of a run, by the list of images that lies with it: the folder itself is not looked at.

    Raises MissingKey without such a list, PlanError where it is damaged.
    """
    return Plan(config, _read_images(storage) if config.subjects.source == "folder" else None)


def _first_change(storage: Storage, images: Sequence[FolderImage]) -> str | None:
    return first_difference(_read_images(storage), images)


def _read_images(storage: Storage) -> tuple[FolderImage, ...]:
    return from_bytes(storage.get(IMAGES), storage.path_for(IMAGES))
