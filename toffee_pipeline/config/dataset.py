"""What the configs of the jobs that work shard by shard share, and those of them that make subjects: pairs
(`generate.py`) and subject banks (`generate_subjects.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from toffee_pipeline.config.base import (
    NOT_CONTENT,
    AbsoluteUri,
    Amount,
    DistilledSpec,
    Fraction,
    LeaseSeconds,
    Model,
    ModelSpec,
    Positive,
    Seconds,
    Seed,
    SegmenterSpec,
    VaeSpec,
    Weight,
    make_absolute,
    make_uri_absolute,
)
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.endpoint import EndpointUrl, ShareCompiled
from toffee_pipeline.config.safety import PromptGuardSpec, SafetensorsSpec
from toffee_pipeline.config.stages import StageConfig, SubjectStagesConfig, settings_of
from toffee_pipeline.images import MAX_PIXELS

Player = Literal["networks", "renderer", "folder", "bank"]
"""Who may play a role."""
PACKAGED_CATALOGS = ("nano", "toffee")


def _catalog_file(catalog: str) -> str:
    return catalog if catalog in PACKAGED_CATALOGS else str(make_absolute(Path(catalog)))


CatalogName = Annotated[str, AfterValidator(_catalog_file)]
"""A catalogue of the package, or the path of a file, which is made absolute."""
PACKAGED_PROMPT_BANKS = ("toffee",)


def _bank_file(bank: str) -> str:
    return bank if bank in PACKAGED_PROMPT_BANKS else make_uri_absolute(bank)


PromptBankName = Annotated[str, AfterValidator(_bank_file)]
"""A bank of the package, or a local path or s3://bucket/key."""
READ_FROM = {"folder": "the folder of images", "bank": "the run directory of jobs/generate_subjects.py"}
"""What lies under the path of the sources that have one."""


class SubjectsConfig(Model):
    """Where subject images come from."""

    source: Literal["synthesis", "folder", "renderer", "bank"] = "synthesis"
    """synthesis: the text-to-image model; folder: your own images; renderer: the nano profile's small world; bank: what
    jobs/generate_subjects.py made."""
    path: AbsoluteUri | None = None
    """folder: a directory with one folder of images per subject, or images directly in it; bank: its run directory, a
    local path or s3://bucket/prefix."""
    endpoint_url: EndpointUrl = None
    """Of a bank: S3-compatible storage other than AWS."""
    catalog: CatalogName = "toffee"
    """Classes and prompts: a catalogue of the package (`toffee`, `nano`) or the path of a YAML file."""
    class_weights: dict[str, Weight] = {}
    """How often a class of the catalogue is drawn, as {teapot: 3}; of one that is not named 1, and 0 leaves it out."""
    class_quotas: dict[str, Positive] = {}
    """How many of the run's subjects are of a class, exactly, as {teapot: 500}; the others are drawn by the weights."""

    @model_validator(mode="after")
    def _path_belongs_to_its_source(self) -> Self:
        if self.source in READ_FROM and self.path is None:
            raise ValueError(f"subjects.source={self.source} needs subjects.path, {READ_FROM[self.source]}")
        if self.source not in READ_FROM and self.path is not None:
            raise ValueError(
                f"subjects.path is read with subjects.source={' or '.join(READ_FROM)} alone, not with {self.source}"
            )
        for key in ("class_weights", "class_quotas"):
            if self.source in READ_FROM and getattr(self, key):
                raise ValueError(f"subjects.{key} is for classes of a catalogue: {READ_FROM[self.source]} has its own")
        return self


class KeptApartConfig(Model):
    """What a dataset keeps away from, so that models trained on it can be judged."""

    allow_benchmark_prompts: bool = False
    """Whether rows of a prompt bank, and proposals for one, may ask for what DreamBench asks for. False: these, and
    near duplicates, are left out and counted."""


class SubjectModelsConfig(Model):
    """The weights behind the roles that make and check a subject."""

    sdxl: ModelSpec
    vae: VaeSpec | None = None
    """The VAE that the Refiner works in; pretrained, it also takes the place of that of a pretrained SDXL, of whose
    latents it must be. null: nano or untrained as the Refiner is, else SDXL's own."""
    subject_unet: DistilledSpec | None = None
    """A distilled UNet in the place of SDXL's own where subjects are drawn, with its `stages.synthesize.sampling`."""
    depth: ModelSpec
    detector: ModelSpec
    segmenter: SegmenterSpec
    clip: ClipSpec
    prompt_guard: PromptGuardSpec | None = None
    """A guard model for `stages.check_prompts`. null: off."""
    image_safety: SafetensorsSpec | None = None
    """An image classifier for `stages.check_images`, such as Falconsai/nsfw_image_detection. null: off."""

    @property
    def sdxl_vae(self) -> VaeSpec | None:
        """`vae` where it takes the place of SDXL's own."""
        return self.vae if self.vae is not None and self.vae.is_published and self.sdxl.is_published else None

    @model_validator(mode="after")
    def _distilled_from_a_published_base(self) -> Self:
        for name in ("subject_unet", "draft_unet"):
            if getattr(self, name, None) is not None and not self.sdxl.is_published:
                raise ValueError(
                    f"models.{name} takes the place of a published SDXL's, not of {self.sdxl.weights} weights"
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

    @property
    def num_threads(self) -> int:
        """Of torch, in whatever process runs the stages: sums in another number of threads have other bits."""
        return max(1, int(self.num_cpus))


class OutputConfig(Model):
    """What is written."""

    keep: Literal["accepted", "scored", "all"] = "accepted"
    """Whose images are kept. scored: also those of what was rejected by a score, so that other thresholds can take it
    back; all: also those of what was rejected earlier, as far as there are any. They have a folder of their own."""
    endpoint_url: EndpointUrl = None
    """S3-compatible storage other than AWS."""
    share_compiled: ShareCompiled = False
    """Whether what torch.compile makes (`stages.*.speed.compile`) is kept in the run directory, and actors that start
    later load it from there and need not compile. It is code that they run, pickles and programs, and nothing can check
    it: whoever can write to the run directory can then run anything on every machine of the run. So set it for a
    directory that is yours alone; it is said on the command line only."""
    report_every_s: Annotated[Seconds, NOT_CONTENT] = 300.0
    """Least seconds between two reports while the run goes on; 0: only one, at its end."""
    lease_s: Annotated[LeaseSeconds, NOT_CONTENT] = 60.0
    """Seconds for which a driver that died without a word keeps others off its run directory; 0: nobody is kept off."""


class DatasetConfig(Model):
    """One run of a job that writes a table shard by shard."""

    job: ClassVar[str]
    """Folder of its profiles."""
    seed: Seed = 0
    placement: Annotated[Literal["auto", "inline", "fused", "pools"], NOT_CONTENT] = "auto"
    subjects_per_shard: Annotated[int, Field(gt=0, le=10**6)] | None = None
    """None: 1 to 16, by the run's size: a small run has work for up to 64 actors, a large one files of a good size."""
    max_crashes: Annotated[int, Field(gt=0, le=1000), NOT_CONTENT] = 3
    """A sample that is alone in a micro-batch whose process dies this often is marked failed."""
    max_failed_fraction: Annotated[Fraction, NOT_CONTENT] = 0.05
    """The run stops when it is plain that more of its pairs than this fail (failed, or rejected as flat_image or
    not_finite), and not by chance just its first ones: looked at from 50 pairs on, those of a subject as one
    observation. Under 0.05 it stops at once where all fail, after some 13 subjects where half of them do, 65 at a
    fifth, 500 at a tenth; at the end of a start the share itself counts. Of a subject bank, of its subjects; of an
    evaluation, of its pictures."""
    stall_s: Annotated[float, Field(gt=0, le=1e7), NOT_CONTENT] = 1200.0
    """Where nodes were lost, or an actor cannot start on its machine, and no micro-batch has ended for so long, the job
    plans again for what is left."""
    price_per_gpu_hour: Annotated[Weight, NOT_CONTENT] = 0.0
    """In your currency; for the cost in status and metrics. 0: GPU time is shown, and no money."""
    models: Model
    stages: Model
    fused: Annotated[FusedConfig, NOT_CONTENT] = FusedConfig()
    output: OutputConfig = OutputConfig()
    device: Annotated[Literal["auto", "cpu", "cuda"], NOT_CONTENT] = "auto"

    def player(self, role: str) -> Player:
        """Who plays a role that has weights in `models`."""
        return "networks"

    @property
    def max_pixels(self) -> int:
        """Of a picture of the run: more are refused before they are decoded."""
        return MAX_PIXELS

    @property
    def model_stages(self) -> tuple[str, ...]:
        """The stages that compute with models, but for those that are off."""
        return tuple(name for name in settings_of(type(self.stages)) if self._is_on(self.stage(name)))

    def _is_on(self, stage: StageConfig) -> bool:
        return stage.on and (stage.needs is None or getattr(self.models, stage.needs) is not None)

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


class ImageDatasetConfig(DatasetConfig):
    """One run of a job that makes images of one size."""

    size_px: Annotated[int, Field(ge=64, le=4096, multiple_of=64)] = 1024
    min_class_yield: Annotated[Fraction | None, NOT_CONTENT] = None
    """Share of a class's planned rows that should be accepted. Classes that miss it are named with what they lack and
    why, in the report and at the end of the run; nothing is refused for it. null: none is named."""

    @property
    def max_pixels(self) -> int:
        return self.size_px**2


class SubjectDatasetConfig(ImageDatasetConfig):
    """One run of a job that makes subjects, and perhaps pairs of them."""

    subjects: SubjectsConfig = SubjectsConfig()
    other_languages: Literal["refuse", "pass"] = "refuse"
    """What becomes of prompts that are not English, which CLIP's filter does not understand. They are counted either
    way. refuse: phrases of a catalogue of your own, where it has others, and rows of a prompt bank are left out, a
    caption gives way to the image's class, and what can only be told in another language, subjects of a bank too, is
    rejected as other_language; pass: all are drawn from as the others."""
    renderer_plays: tuple[str, ...] = ()
    models: SubjectModelsConfig
    stages: SubjectStagesConfig

    def player(self, role: str) -> Player:
        source = self.subjects.source
        if role == "subject" and source == "folder":
            return "folder"
        if role in ("subject", "depth") and source == "bank":
            return "bank"
        renders = source == "renderer" if role == "subject" else self.plays_renderer(role)
        return "renderer" if renders else "networks"

    def plays_renderer(self, role: str) -> bool:
        """Whether the renderer stands in for this role."""
        return self.subjects.source == "renderer" and role in self.renderer_plays

    @model_validator(mode="after")
    def _renderer_knows_its_world_only(self) -> Self:
        if self.subjects.source == "renderer" and self.subjects.catalog != "nano":
            raise ValueError("subjects.source=renderer needs subjects.catalog=nano, the only world that it knows")
        return self
