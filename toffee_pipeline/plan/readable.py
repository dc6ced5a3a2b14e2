"""Whether a plan of the user's own images can give anything: what is said where no file can be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toffee_pipeline.errors import ImageError, PlanError
from toffee_pipeline.images import read_file
from toffee_pipeline.plan.names import SHOWN, one_line
from toffee_pipeline.plan.shards import ShardPlan
from toffee_pipeline.plan.subjects import FolderSubjects, SubjectPlan


def require_readable(plan: ShardPlan) -> None:
    """Decodes images of the plan, the smallest file first, up to one that can be read: in most folders the first.

    Raises PlanError where none can, before a model is loaded in vain.
    """
    if not isinstance(plan, SubjectPlan) or not isinstance(plan.source, FolderSubjects):
        return
    folder, why = Path(plan.config.subjects.path or ""), {}
    for image in sorted(plan.source.images[: plan.num_subjects], key=lambda image: image.size_bytes):
        try:
            read_file(folder / image.path)
        except ImageError as error:
            why[image.path] = reason(str(error), image.path)
        else:
            return
    raise nothing_readable(plan, why)


def reason(error: str, path: str) -> str:
    """What an error says behind the name of the file at `path`."""
    return error.partition(f"{path}: ")[2] or error


def nothing_readable(plan: SubjectPlan, why: Mapping[str, str]) -> PlanError:
    """why: what is wrong with each file, by path."""
    more = f"; and {len(why) - SHOWN} more" if len(why) > SHOWN else ""
    files = "; ".join(f"{one_line(path)}: {why[path]}" for path in sorted(why)[:SHOWN])
    return PlanError(f"subjects.path: no image below {plan.config.subjects.path} can be read: {files}{more}")
