"""The plan of an evaluation: every real picture of a benchmark, and every picture that a model draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.plan.benchmark import Benchmark, BenchmarkSubject
from toffee_pipeline.plan.benchmarks import load_benchmark
from toffee_pipeline.plan.drawn import list_drawn
from toffee_pipeline.plan.listed_images import ListedImages
from toffee_pipeline.plan.seeds import seed_for
from toffee_pipeline.plan.shards import PLAN_VERSION, ShardPlan
from toffee_pipeline.schema.pictures import Picture, picture_row


class EvaluationPlan(ShardPlan):
    """Shards of subjects of pictures.

    Args:
        source, drawn: the benchmark, and the pictures in the folder `images`, as an earlier start listed them; None:
            looked at now. Raises PlanError where they cannot be read.
    """

    config: EvaluationConfig

    drawn: ListedImages | None
    """None where no folder is given."""

    def __init__(
        self, config: EvaluationConfig, source: Benchmark | None = None, drawn: ListedImages | None = None
    ) -> None:
        self.source = source or load_benchmark(config.benchmark.name, config.benchmark.path)
        self.benchmark = self.source.limited(config.benchmark.max_subjects, config.benchmark.max_prompts)
        super().__init__(config, len(self.benchmark.subjects))
        self.draws = config.images is not None or config.models.toffeenet is not None
        self.drawn = drawn
        if drawn is None and config.images is not None:
            self.drawn = ListedImages(list_drawn(config.images, self.drawn_pictures()))

    @property
    def num_rows(self) -> int:
        return sum(map(self._num_pictures, self.benchmark.subjects))

    def num_rows_of(self, index: int) -> int:
        return sum(self._num_pictures(self.benchmark.subjects[number]) for number in self.numbers(index))

    def _num_pictures(self, subject: BenchmarkSubject) -> int:
        return len(subject.images) + self.draws * len(subject.prompts) * self.config.images_per_prompt

    def _content(self) -> dict[str, Any]:
        config = self.config
        return {
            "version": PLAN_VERSION,
            "seed": config.seed,
            "subjects_per_shard": self.subjects_per_shard,
            "benchmark": self.benchmark.digest,
            "images_per_prompt": config.images_per_prompt if self.draws else 0,
        } | ({} if self.drawn is None else {"images": self.drawn.digest})

    def pictures(self, index: int) -> list[Picture]:
        """The pictures of shard `index`, subject by subject, the real ones first. Cost: O(shard)."""
        return [
            picture for number in self.numbers(index) for picture in self._pictures(self.benchmark.subjects[number])
        ]

    def drawn_pictures(self) -> Iterator[Picture]:
        """Of all shards."""
        pictures = (picture for index in range(len(self)) for picture in self.pictures(index))
        return (picture for picture in pictures if picture.kind == "drawn")

    def rows(self, index: int) -> list[dict[str, Any]]:
        return [picture_row(picture) for picture in self.pictures(index)]

    def _pictures(self, subject: BenchmarkSubject) -> Iterator[Picture]:
        """A drawn one's name is that of its file in a folder of another model's pictures."""
        of: dict[str, Any] = {
            "subject_id": subject.subject_id,
            "class_name": subject.class_name,
            "subject_group": subject.group,
        }
        for number, image in enumerate(subject.images):
            yield Picture(f"{subject.subject_id}/real_{number}", kind="real", sample=number, source=image.name, **of)
        for number, prompt in enumerate(subject.prompts if self.draws else ()):
            for sample in range(self.config.images_per_prompt):
                name = f"{subject.subject_id}/{number}_{sample}"
                yield Picture(
                    name,
                    kind="drawn",
                    sample=sample,
                    source=name,
                    prompt_number=number,
                    prompt=prompt.text,
                    category=prompt.category,
                    seed=seed_for(f"{self.config.seed}/{name}", "picture"),
                    **of,
                )
