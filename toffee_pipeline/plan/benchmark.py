"""A benchmark as data: subjects, their real pictures, and the prompts that a model draws them by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from toffee_pipeline.errors import PlanError
from toffee_pipeline.plain_file import read_plain
from toffee_pipeline.plan.stored_list import stays_below


@dataclass(frozen=True)
class RealImage:
    """A real picture of a subject. name: its path below the benchmark's folder, or what a rendered one is called.
    sha256: of the file; None of a rendered one."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class Prompt:
    """text: as the model reads it and CLIP scores it, without a rare token. category: of tables."""

    text: str
    category: str


@dataclass(frozen=True)
class BenchmarkSubject:
    """A subject of a benchmark.

    group: of tables, such as "live". images: its real pictures; the first is the input image. prompts: in the
    benchmark's order; a prompt's number counts from 0.
    description, seed: of a rendered subject, what `Subject` calls prompt and seed.
    """

    subject_id: str
    class_name: str
    group: str
    images: tuple[RealImage, ...]
    prompts: tuple[Prompt, ...]
    description: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Benchmark:
    """Subjects in order of their ids. name: "dreambench", "dreambench++" or "nano"."""

    name: str
    subjects: tuple[BenchmarkSubject, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all of it, the pictures' content included."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def limited(self, max_subjects: int | None, max_prompts: int | None) -> Benchmark:
        """The first so many subjects, each with its first so many prompts; None: all."""
        subjects = self.subjects[:max_subjects]
        return Benchmark(
            self.name,
            tuple(BenchmarkSubject(**{**vars(each), "prompts": each.prompts[:max_prompts]}) for each in subjects),
        )

    def change(self, listed: bytes, name: str) -> str | None:
        """One line about the first subject that differs from an earlier list; None where all are the same. name: of its
        file. Raises PlanError where it is damaged."""
        before, now = (
            {each.subject_id: each for each in benchmark.subjects}
            for benchmark in (self.from_bytes(listed, name), self)
        )
        for subject_id in sorted(before.keys() | now.keys()):
            if before.get(subject_id) != now.get(subject_id):
                return f"benchmark.path: {subject_id} is not as it was when the evaluation began"
        return None

    def to_bytes(self) -> bytes:
        """As JSON, one line per subject; the same benchmark gives the same bytes."""
        rows: list[dict[str, Any]] = [{"benchmark": self.name}, *map(asdict, self.subjects)]
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Benchmark:
        """name: what errors call the file. Raises PlanError where it is damaged."""
        try:
            head, *rows = map(json.loads, data.splitlines())
            return cls(head["benchmark"], tuple(map(_subject, rows)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise PlanError(f"{name}: damaged: {error!r}") from error


def _subject(row: dict[str, Any]) -> BenchmarkSubject:
    images = tuple(RealImage(stays_below(image["name"]), image["sha256"]) for image in row.pop("images"))
    prompts = tuple(Prompt(**prompt) for prompt in row.pop("prompts"))
    return BenchmarkSubject(images=images, prompts=prompts, **row)


def real_images(root: Path, paths: Iterable[Path]) -> tuple[RealImage, ...]:
    """The files at `paths` below `root`, sorted by name. Raises OSError where one cannot be read."""
    return tuple(
        RealImage(path.relative_to(root).as_posix(), hashlib.sha256(read_plain(path)).hexdigest())
        for path in sorted(paths)
    )
