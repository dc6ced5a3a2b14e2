"""Every setting of a run of `jobs/generate.py`. `profiles/generate/*.yaml` hold the values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toffee_pipeline.config.base import (
    CATEGORIES,
    NOT_CONTENT,
    AbsolutePath,
    AbsoluteUri,
    Category,
    DistilledSpec,
    Fraction,
    Model,
    ModelSpec,
    Positive,
    Weight,
)
from toffee_pipeline.config.dataset import (
    KeptApartConfig,
    OutputConfig,
    PromptBankName,
    SubjectDatasetConfig,
    SubjectModelsConfig,
)
from toffee_pipeline.config.endpoint import EndpointUrl
from toffee_pipeline.config.stages import JudgeConfig, StagesConfig

StandIn = Literal["subject", "mask", "depth", "draft", "view"]


class PairsConfig(Model):
    """How many pairs, of which kind and category."""

    count: Positive = 1_000_000
    per_subject: Annotated[int, Field(gt=0, le=10**6)] = 4
    edit_fraction: Fraction = 0.33
    """Share of edit pairs; the paper's dataset has 1.6 M of 4.8 M."""
    generation_categories: dict[Category, Weight] = {"style": 0.3, "background": 0.7}
    edit_categories: dict[Category, Weight] = dict.fromkeys(CATEGORIES, 1.0)
    """Where removals are turned round, additions have their weight at least, and a subject with a single edit pair has
    none."""
    prompt_bank: PromptBankName | None = None
    """Changes beside the catalogue's: a bank of the package (`toffee`), or a .parquet or .jsonl file of rows, a local
    path or s3://bucket/key. Each change that suits a class is drawn as often as any other."""
    endpoint_url: EndpointUrl = None
    """Of a prompt bank: S3-compatible storage other than AWS."""
    draft_prompt: Literal["full", "short"] = "full"
    """What drafts are drawn from: a prompt with everything that stays in it, or the pair's own short one."""
    removal: Literal["reverse", "repaint"] = "reverse"
    """reverse: a removal pair is an addition pair of the same subject turned round, whose target is the subject's own
    picture; a subject with a single edit pair has none. repaint: the named part is found and painted over."""

    @model_validator(mode="after")
    def _weights(self) -> Self:
        for name in ("generation_categories", "edit_categories"):
            if sum(getattr(self, name).values()) <= 0:
                raise ValueError(f"pairs.{name}: at least one weight must be above 0")
        return self


class ModelsConfig(SubjectModelsConfig):
    """The weights behind each role."""

    draft_unet: DistilledSpec | None = None
    """As `subject_unet`, where drafts are drawn, with its `stages.draft.sampling`."""
    controlnet: ModelSpec
    dino: ModelSpec
    refiner: ModelSpec
    view_generator: ModelSpec
    filter_dino: ModelSpec
    aesthetic: ModelSpec | None = None
    """A linear head on CLIP's image features: a safetensors file with `weight` (1, c) and `bias` (1). None: that score
    is off."""

    @model_validator(mode="after")
    def _one_pipeline_has_one_dtype(self) -> Self:
        if self.sdxl.dtype != self.controlnet.dtype:
            raise ValueError(
                f"models.controlnet.dtype={self.controlnet.dtype} and models.sdxl.dtype={self.sdxl.dtype}: "
                "they draw together, so allowed is one dtype for both"
            )
        return self


class PairsOutputConfig(OutputConfig):
    """What is written of pairs."""

    image_format: Literal["png", "webp", "jpeg"] = "jpeg"
    """Format of generation pairs; edit pairs are always PNG, since outside the mask they equal the input exactly."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95


def check_aesthetic(judge: JudgeConfig, weights: ModelSpec | None) -> None:
    """Raises ValueError where pairs are judged by a score without weights."""
    if judge.min_aesthetic is not None and weights is None:
        raise ValueError("stages.judge.min_aesthetic needs models.aesthetic.path, the weights of the score")


class RunConfig(SubjectDatasetConfig):
    """One run of `jobs/generate.py`."""

    job: ClassVar[str] = "generate"
    pairs: PairsConfig = PairsConfig()
    evaluation: KeptApartConfig = KeptApartConfig()
    renderer_plays: tuple[StandIn, ...] = ()
    """Roles that the small world's renderer stands in for while subjects.source is renderer; it knows only its own
    world, so with any other source the networks play every role."""
    measurements: Annotated[AbsolutePath | None, NOT_CONTENT] = None
    """What jobs/measure.py wrote: its seconds and memory take the place of `stages.*.seconds_per_pair`, of
    `stages.*.gpu_memory_gib` and of `fused.gpu_memory_gib`, for the placement and for the costs of a dry run."""
    pass_rates: Annotated[AbsoluteUri | None, NOT_CONTENT] = None
    """A run of such pairs, a small trial say. It tells which share of pairs each stage lets through, and the bytes of a
    pair: for the costs of a dry run. null: all pass."""
    models: ModelsConfig
    stages: StagesConfig = StagesConfig()
    output: PairsOutputConfig = PairsOutputConfig()

    @property
    def model_stages(self) -> tuple[str, ...]:
        """A bank has its subjects' images and depth."""
        banked = {"synthesize", "depth"} if self.subjects.source == "bank" else set()
        return tuple(name for name in super().model_stages if name not in banked)

    @model_validator(mode="after")
    def _a_score_that_judges_is_on(self) -> Self:
        check_aesthetic(self.stages.judge, self.models.aesthetic)
        return self

    def with_count(self, count: int) -> Self:
        """The same config but for so many pairs, which are not checked again."""
        return self.model_copy(update={"pairs": self.pairs.model_copy(update={"count": count})})
