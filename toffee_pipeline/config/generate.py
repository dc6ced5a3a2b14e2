"""Every setting of a run, as frozen pydantic models. `profiles/generate/*.yaml` hold the values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Category = Literal["style", "background", "color", "texture", "addition", "removal"]
"""The taxonomy of changes of the paper (Fig. 6)."""
CATEGORIES: tuple[Category, ...] = ("style", "background", "color", "texture", "addition", "removal")
Role = Literal["subject", "mask", "depth", "draft", "refiner", "view"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Model(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SubjectsConfig(Model):
    """Where subject images come from."""

    source: Literal["synthesis", "folder", "renderer"] = "synthesis"
    """synthesis: the text-to-image model; folder: your own images; renderer: the nano profile's small world."""
    path: Path | None = None
    """folder: a directory with one folder of images per subject, or images directly in it."""
    catalog: str = "toffee"
    """Classes and prompts: a catalogue of the package (`toffee`, `nano`) or the path of a YAML file."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.absolute() if path else None  # workers may run elsewhere

    @model_validator(mode="after")
    def _folder_needs_path(self) -> Self:
        if self.source == "folder" and self.path is None:
            raise ValueError("subjects.source=folder needs subjects.path, the folder of images")
        return self


class PairsConfig(Model):
    """How many pairs, of which kind and category."""

    count: Positive = 1_000_000
    per_subject: Positive = 4
    edit_fraction: Fraction = 0.33
    """Share of edit pairs; the paper's dataset has 1.6 M of 4.8 M."""
    generation_categories: dict[Category, Annotated[float, Field(ge=0)]] = {"style": 0.3, "background": 0.7}
    edit_categories: dict[Category, Annotated[float, Field(ge=0)]] = dict.fromkeys(CATEGORIES, 1.0)

    @model_validator(mode="after")
    def _weights(self) -> Self:
        for name in ("generation_categories", "edit_categories"):
            if sum(getattr(self, name).values()) <= 0:
                raise ValueError(f"pairs.{name}: at least one weight must be above 0")
        return self


class ModelSpec(Model):
    """One set of weights. The first that is set wins: `path`, then `id`."""

    weights: Literal["pretrained", "nano", "untrained"] = "pretrained"
    """pretrained: a hub id or local path; nano: trained on the small world, in the package;
    untrained: the same tiny architecture with seeded random weights."""
    id: str | None = None
    revision: str | None = None
    path: Path | None = None
    """Local folder or file: nothing is fetched."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    variant: str | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.weights == "pretrained" and self.id is None and self.path is None:
            raise ValueError("pretrained weights need an id or a path")
        return self


class SamplingConfig(Model):
    """How a diffusion model is sampled."""

    scheduler: Literal["ddim", "dpm++"] = "dpm++"
    num_inference_steps: Positive = 25
    guidance_scale: Annotated[float, Field(ge=1)] = 3.0


class RefineConfig(Model):
    """DINO mix (Eq 2-3) and SDEdit."""

    a: Fraction = 0.6
    """Weight of the subject's token in the mix."""
    g: Annotated[float, Field(ge=-1, le=1)] = 0.6
    """Least cosine at which a draft patch is mixed."""
    a_by_category: dict[Category, Fraction] = {}
    """Overrides `a` where the subject's look is what changes, such as color: a full mix would undo the change."""
    region: Literal["everywhere", "subject"] = "everywhere"
    """everywhere: the paper's mix; subject: only patches inside the subject's mask, in both images."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.6
    """t0 / T: how far the draft is noised."""


class MaskConfig(Model):
    """Grounded-SAM and the editing mask."""

    box_threshold: Fraction = 0.3
    text_threshold: Fraction = 0.25
    min_fraction: Fraction = 0.01
    max_fraction: Fraction = 0.95
    dilation_fraction: Fraction = 0.015
    """Dilation of the editing mask as a share of the image's side."""
    addition_margin_fraction: Fraction = 0.2
    """How far around the subject something may be added, as a share of the image's side."""


class FilterConfig(Model):
    """Thresholds hold for one encoder only: CLIP ViT-B/32 and DINO ViT-S/16 in the paper."""

    min_dino: float = 0.6
    max_dino: float | None = None
    min_clip: float = 0.3


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
    segmenter: ModelSpec
    segmenter_type: Literal["vit_h", "vit_l", "vit_b", "nano"] = "vit_h"
    clip: ModelSpec
    clip_architecture: str = "ViT-B-32-quickgelu"
    filter_dino: ModelSpec


class StageConfig(Model):
    """Resources of one stage."""

    batch_size: Positive = 8
    """Micro-batch inside a stage. It is part of the content: another size can change last bits."""
    timeout_s: Annotated[float, Field(gt=0)] = 900.0
    """Of a micro-batch: an actor that takes longer is ended and replaced."""
    num_actors: Positive | None = None
    """Actors of this stage in placement pools. None: as many as the planner finds for it."""
    num_cpus: Annotated[float, Field(ge=0)] = 1.0
    num_gpus: Annotated[float, Field(ge=0)] = 0.0
    gpu_memory_gib: Annotated[float, Field(ge=0)] = 0.0
    """GPU memory of an actor of this stage: weights, and what a micro-batch needs. 0: not known."""
    seconds_per_pair: Annotated[float, Field(ge=0)] = 1.0
    """Over all planned pairs: what the planner of placement pools goes by until the run has figures of its own."""


class StagesConfig(Model):
    synthesize: StageConfig = StageConfig()
    segment: StageConfig = StageConfig()
    draft: StageConfig = StageConfig()
    refine: StageConfig = StageConfig()
    view: StageConfig = StageConfig()
    edit: StageConfig = StageConfig()
    score: StageConfig = StageConfig()


class FusedConfig(Model):
    """Resources of one actor that holds all model stages."""

    num_actors: Positive | None = None
    """None: as many as the cluster's GPUs, or CPU cores where `num_gpus` is 0, have room for."""
    num_cpus: Annotated[float, Field(ge=0)] = 1.0
    num_gpus: Annotated[float, Field(ge=0)] = 1.0
    gpu_memory_gib: Annotated[float, Field(ge=0)] = 0.0
    """GPU memory of an actor with all stages, which share models. 0: not known."""


class OutputConfig(Model):
    """What is written."""

    image_format: Literal["png", "webp", "jpeg"] = "jpeg"
    """Format of generation pairs; edit pairs are always PNG, since outside the mask they equal the input exactly."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    keep_rejected: bool = False
    """Keep the images of rejected pairs too, in a folder of their own."""
    endpoint_url: str | None = None
    """S3-compatible storage other than AWS."""
    report_every_s: Annotated[float, Field(ge=0)] = 300.0
    """Least seconds between two reports while the run goes on; 0: only one, at its end."""
    lease_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds for which a driver that died without a word keeps others off its run directory; 0: nobody is kept off."""


class RunConfig(Model):
    """One run of `jobs/generate.py`."""

    job: ClassVar[str] = "generate"
    """Folder of its profiles."""
    seed: Annotated[int, Field(ge=0)] = 0
    size_px: Annotated[int, Field(ge=64, multiple_of=64)] = 1024
    placement: Literal["auto", "inline", "fused", "pools"] = "auto"
    subjects: SubjectsConfig = SubjectsConfig()
    pairs: PairsConfig = PairsConfig()
    subjects_per_shard: Positive = 32
    max_crashes: Positive = 3
    """A sample that is alone in a micro-batch whose process dies this often is marked failed."""
    max_failed_fraction: Fraction = 0.05
    """The run stops when more of its pairs than this fail (failed, not rejected), looked at from 50 pairs on."""
    stall_s: Annotated[float, Field(gt=0)] = 1200.0
    """Where nodes were lost and no micro-batch has ended for so long, the job plans again for those that are left."""
    price_per_gpu_hour: Annotated[float, Field(ge=0)] = 0.0
    """In your currency; for the cost in status and metrics. 0: GPU time is shown, and no money."""
    renderer_plays: tuple[Role, ...] = ()
    """Roles that the small world's renderer stands in for while subjects.source is renderer; it knows only its own
    world, so with any other source the networks play every role."""
    models: ModelsConfig
    subject_sampling: SamplingConfig = SamplingConfig(guidance_scale=5.0)
    draft_sampling: SamplingConfig = SamplingConfig(guidance_scale=5.0)
    controlnet_conditioning_scale: Annotated[float, Field(ge=0)] = 0.5
    """How strictly the draft follows the subject's depth."""
    refine: RefineConfig = RefineConfig()
    refine_sampling: SamplingConfig = SamplingConfig()
    view_sampling: SamplingConfig = SamplingConfig()
    mask: MaskConfig = MaskConfig()
    filter: FilterConfig = FilterConfig()
    stages: StagesConfig = StagesConfig()
    fused: FusedConfig = FusedConfig()
    output: OutputConfig = OutputConfig()
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def plays_renderer(self, role: Role) -> bool:
        """Whether the renderer stands in for this role."""
        return self.subjects.source == "renderer" and role in self.renderer_plays

    def stage(self, name: str) -> StageConfig:
        """Settings of the stage of this name."""
        settings: StageConfig = getattr(self.stages, name)
        return settings

    def num_gpus_of(self, stage: str) -> float:
        """GPUs that one actor which runs this stage holds."""
        if self.device == "cpu":
            return 0.0
        return self.stage(stage).num_gpus if self.placement == "pools" else self.fused.num_gpus

    @model_validator(mode="after")
    def _renderer_knows_its_world_only(self) -> Self:
        if self.subjects.source == "renderer" and self.subjects.catalog != "nano":
            raise ValueError("subjects.source=renderer needs subjects.catalog=nano, the only world that it knows")
        return self
