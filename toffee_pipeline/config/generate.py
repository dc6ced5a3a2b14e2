"""Every setting of a run of `jobs/generate.py`. `profiles/generate/*.yaml` hold the values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from toffee_pipeline.config.base import (
    CATEGORIES,
    NOT_CONTENT,
    AbsolutePath,
    Amount,
    Category,
    Fraction,
    Model,
    ModelSpec,
    Positive,
    Seconds,
    Seed,
    SegmenterSpec,
    Weight,
    make_absolute,
)
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.stages import StageConfig, StagesConfig

StandIn = Literal["subject", "mask", "depth", "draft", "view"]
PACKAGED_CATALOGS = ("nano", "toffee")


class SubjectsConfig(Model):
    """Where subject images come from."""

    source: Literal["synthesis", "folder", "renderer"] = "synthesis"
    """synthesis: the text-to-image model; folder: your own images; renderer: the nano profile's small world."""
    path: AbsolutePath | None = None
    """folder: a directory with one folder of images per subject, or images directly in it."""
    catalog: str = "toffee"
    """Classes and prompts: a catalogue of the package (`toffee`, `nano`) or the path of a YAML file."""

    @field_validator("catalog")
    @classmethod
    def _absolute(cls, catalog: str) -> str:
        return catalog if catalog in PACKAGED_CATALOGS else str(make_absolute(Path(catalog)))

    @model_validator(mode="after")
    def _path_belongs_to_folder(self) -> Self:
        if self.source == "folder" and self.path is None:
            raise ValueError("subjects.source=folder needs subjects.path, the folder of images")
        if self.source != "folder" and self.path is not None:
            raise ValueError(f"subjects.path is read with subjects.source=folder alone, not with {self.source}")
        return self


class PairsConfig(Model):
    """How many pairs, of which kind and category."""

    count: Positive = 1_000_000
    per_subject: Annotated[int, Field(gt=0, le=10**6)] = 4
    edit_fraction: Fraction = 0.33
    """Share of edit pairs; the paper's dataset has 1.6 M of 4.8 M."""
    generation_categories: dict[Category, Weight] = {"style": 0.3, "background": 0.7}
    edit_categories: dict[Category, Weight] = dict.fromkeys(CATEGORIES, 1.0)
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


class ModelsConfig(Model):
    """The weights behind each role."""

    sdxl: ModelSpec
    vae: ModelSpec | None = None
    """The VAE that the Refiner works in. None: nano or untrained as the Refiner is, else SDXL's own."""
    controlnet: ModelSpec
    depth: ModelSpec
    dino: ModelSpec
    refiner: ModelSpec
    view_generator: ModelSpec
    detector: ModelSpec
    segmenter: SegmenterSpec
    clip: ClipSpec
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


class FusedConfig(Model):
    """Resources of one actor that holds all model stages."""

    num_actors: Positive | None = None
    """None: as many as the cluster's GPUs, or CPU cores where `num_gpus` is 0, have room for."""
    num_cpus: Amount = 1.0
    num_gpus: Amount = 1.0
    gpu_memory_gib: Amount = 0.0
    """GPU memory of an actor with all stages, which share models. 0: not known."""


class OutputConfig(Model):
    """What is written."""

    image_format: Literal["png", "webp", "jpeg"] = "jpeg"
    """Format of generation pairs; edit pairs are always PNG, since outside the mask they equal the input exactly."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    keep_rejected: bool = False
    """Keep the images of rejected pairs too, in a folder of their own."""
    endpoint_url: Annotated[str | None, NOT_CONTENT] = None
    """S3-compatible storage other than AWS."""
    report_every_s: Annotated[Seconds, NOT_CONTENT] = 300.0
    """Least seconds between two reports while the run goes on; 0: only one, at its end."""
    lease_s: Annotated[Seconds, NOT_CONTENT] = 60.0
    """Seconds for which a driver that died without a word keeps others off its run directory; 0: nobody is kept off."""


class RunConfig(Model):
    """One run of `jobs/generate.py`."""

    job: ClassVar[str] = "generate"
    """Folder of its profiles."""
    seed: Seed = 0
    size_px: Annotated[int, Field(ge=64, le=4096, multiple_of=64)] = 1024
    placement: Annotated[Literal["auto", "inline", "fused", "pools"], NOT_CONTENT] = "auto"
    subjects: SubjectsConfig = SubjectsConfig()
    pairs: PairsConfig = PairsConfig()
    subjects_per_shard: Annotated[int, Field(gt=0, le=10**6)] = 32
    max_crashes: Annotated[int, Field(gt=0, le=1000), NOT_CONTENT] = 3
    """A sample that is alone in a micro-batch whose process dies this often is marked failed."""
    max_failed_fraction: Annotated[Fraction, NOT_CONTENT] = 0.05
    """The run stops when more of its pairs than this fail (failed, not rejected), looked at from 50 pairs on."""
    stall_s: Annotated[float, Field(gt=0, le=1e7), NOT_CONTENT] = 1200.0
    """Where nodes were lost and no micro-batch has ended for so long, the job plans again for those that are left."""
    price_per_gpu_hour: Annotated[Weight, NOT_CONTENT] = 0.0
    """In your currency; for the cost in status and metrics. 0: GPU time is shown, and no money."""
    renderer_plays: tuple[StandIn, ...] = ()
    """Roles that the small world's renderer stands in for while subjects.source is renderer; it knows only its own
    world, so with any other source the networks play every role."""
    models: ModelsConfig
    stages: StagesConfig = StagesConfig()
    fused: Annotated[FusedConfig, NOT_CONTENT] = FusedConfig()
    output: OutputConfig = OutputConfig()
    device: Annotated[Literal["auto", "cpu", "cuda"], NOT_CONTENT] = "auto"

    def plays_renderer(self, role: str) -> bool:
        """Whether the renderer stands in for this role."""
        return self.subjects.source == "renderer" and role in self.renderer_plays

    def stage(self, name: str) -> StageConfig:
        """Settings of the model stage of this name."""
        settings: StageConfig = getattr(self.stages, name)
        return settings

    def with_stage(self, name: str, **changes: Any) -> Self:
        """The same config but for some settings of one stage, which are not checked again."""
        changed = getattr(self.stages, name).model_copy(update=changes)
        return self.model_copy(update={"stages": self.stages.model_copy(update={name: changed})})

    def num_gpus_of(self, stage: str) -> float:
        """GPUs that one actor which runs this stage holds."""
        if self.device == "cpu":
            return 0.0
        return self.stage(stage).num_gpus if self.placement == "pools" else self.fused.num_gpus

    @model_validator(mode="after")
    def _a_score_that_judges_is_on(self) -> Self:
        if self.stages.judge.min_aesthetic is not None and self.models.aesthetic is None:
            raise ValueError("stages.judge.min_aesthetic needs models.aesthetic.path, the weights of the score")
        return self

    @model_validator(mode="after")
    def _renderer_knows_its_world_only(self) -> Self:
        if self.subjects.source == "renderer" and self.subjects.catalog != "nano":
            raise ValueError("subjects.source=renderer needs subjects.catalog=nano, the only world that it knows")
        return self
