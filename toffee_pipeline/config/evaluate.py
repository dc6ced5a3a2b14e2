"""Every setting of a run of `jobs/evaluate.py`. `profiles/evaluate/*.yaml` hold the values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toffee_pipeline.config.base import (
    NOT_CONTENT,
    AbsolutePath,
    Cosine,
    Fraction,
    Model,
    ModelSpec,
    Positive,
    SamplingConfig,
    SegmenterSpec,
)
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.dataset import DatasetConfig, OutputConfig
from toffee_pipeline.config.stages import ScoreConfig, SegmentConfig, StageConfig, settings_of
from toffee_pipeline.config.train import ToffeeNetTraining


class BenchmarkConfig(Model):
    """Subjects, their real pictures, and the prompts to draw them by."""

    name: Literal["dreambench", "dreambench++", "nano"] = "dreambench"
    """nano: of the small world, rendered."""
    path: AbsolutePath | None = None
    """Its folder, in its own layout; the nano one has none. Every machine of a cluster must see it."""
    max_subjects: Positive | None = None
    """Only the first so many; figures are then no longer those of the benchmark."""
    max_prompts: Positive | None = None
    """Of each subject, only the first so many."""

    @model_validator(mode="after")
    def _path_of_what_lies_somewhere(self) -> Self:
        if (self.name == "nano") != (self.path is None):
            raise ValueError(f"benchmark.name={self.name} {'has no' if self.path else 'needs'} benchmark.path")
        return self


class TrainedModel(ModelSpec):
    """The ToffeeNet that draws; the job's `--model RUN` sets all of it."""

    training: ToffeeNetTraining
    """How it was trained, which names the networks beside it."""


class EvaluationModels(Model):
    """The encoders that score. Figures hold for one encoder only: DINO ViT-S/16 and CLIP ViT-B/32 are DreamBench's."""

    filter_dino: ModelSpec
    clip: ClipSpec
    detector: ModelSpec | None = None
    """Of Grounded-SAM, for Seg-DINO and Seg-CLIP-I; None: these are off."""
    segmenter: SegmenterSpec | None = None
    toffeenet: TrainedModel | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.detector is None) != (self.segmenter is None):
            raise ValueError("models.detector and models.segmenter: Grounded-SAM needs both, or neither")
        return self


class DrawConfig(StageConfig):
    """ToffeeNet's pictures."""

    makes_images: ClassVar[bool] = True
    sampling: SamplingConfig = SamplingConfig(scheduler="ddim", num_inference_steps=100)
    """The paper's: 100 steps of DDIM, guidance 3."""
    dino_scale: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Lambda."""
    depth: Literal["constant", "input"] = "constant"
    """constant: a new view; input: the input image's depth, which keeps its structure (Table 2)."""
    task: Literal["generation", "edit"] = "generation"
    """edit: the input image is repainted where the prompt's category may change it, such as the background alone; all
    else stays exactly."""


class EvaluationStagesConfig(Model):
    """The table for an evaluation."""

    draw: DrawConfig = DrawConfig()
    segment: SegmentConfig = SegmentConfig()
    score: ScoreConfig = ScoreConfig()


class EvaluationConfig(DatasetConfig):
    """One run of `jobs/evaluate.py`. With neither `images` nor `models.toffeenet`, real pictures alone are scored."""

    job: ClassVar[str] = "evaluate"
    benchmark: BenchmarkConfig
    images: AbsolutePath | None = None
    """Pictures that another model drew: SUBJECT/PROMPT_SAMPLE.png (or another format), both numbers from 0."""
    images_per_prompt: Annotated[int, Field(gt=0, le=1000)] = 4
    subjects_per_shard: Annotated[int, Field(gt=0, le=10**6)] | None = 1
    max_failed_fraction: Annotated[Fraction, NOT_CONTENT] = 1.0
    min_duplicate_dino: Annotated[Cosine, NOT_CONTENT] = 0.95
    """Least cosine of `models.filter_dino` at which `--check-contamination` takes two pictures for near duplicates."""
    max_duplicate_hash_distance: Annotated[int, Field(ge=0, le=64), NOT_CONTENT] = 6
    """Of 64 bits of their perceptual hashes: up to it they are near duplicates too, whatever an encoder says."""
    models: EvaluationModels
    stages: EvaluationStagesConfig = EvaluationStagesConfig()
    output: OutputConfig = OutputConfig()

    @model_validator(mode="after")
    def _one_draws(self) -> Self:
        if self.images is not None and self.models.toffeenet is not None:
            raise ValueError("images and models.toffeenet: allowed is one of them")
        return self

    @property
    def has_published_encoders(self) -> bool:
        """Whether DINO ViT-S/16 and CLIP ViT-B/32 score, as in the paper; of a local path nobody knows otherwise."""
        dino, clip = self.models.filter_dino, self.models.clip
        pretrained = dino.weights == clip.weights == "pretrained"
        return pretrained and dino.id in (None, "facebook/dino-vits16") and clip.architecture.startswith("ViT-B-32")


EVALUATION_STAGES: tuple[str, ...] = tuple(settings_of(EvaluationStagesConfig))
