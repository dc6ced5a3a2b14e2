"""Every setting of a training job, as frozen pydantic models. `profiles/train_*/*.yaml` hold the values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toffee_pipeline.config.base import (
    NOT_CONTENT,
    AbsoluteUri,
    Count,
    Fraction,
    GroundingConfig,
    Model,
    ModelSpec,
    Positive,
    SamplingConfig,
    Seed,
    SegmenterSpec,
    Weight,
)
from toffee_pipeline.config.endpoint import EndpointUrl


class StoredSource(Model):
    """A source whose files lie somewhere."""

    path: AbsoluteUri
    """A local folder or s3://bucket/prefix."""
    endpoint_url: EndpointUrl = None
    """S3-compatible storage other than AWS."""


class FolderSource(StoredSource):
    """A folder of images, however deep they lie: for the Refiner, which learns from single images."""

    format: Literal["folder"]


class ImageFolderSource(StoredSource):
    """Images and a `metadata.jsonl`, `.csv` or `.parquet` with `file_name`, as of Hugging Face's imagefolder:
    for the Refiner too."""

    format: Literal["imagefolder"]
    caption_column: str | None = None
    """Column of the captions; null: `text`, where there is one."""


class WebDatasetSource(StoredSource):
    """Tar shards of image + text files, such as CC3M."""

    format: Literal["webdataset"]


class RunSource(StoredSource):
    """A run directory of `jobs/generate.py`, or a subject bank of `jobs/generate_subjects.py`. Or its Parquet files
    alone: a folder of them, one with `data/*.parquet`, or a single file."""

    format: Literal["run"]


class ExportSource(StoredSource):
    """What `jobs/export.py` wrote, in any of its formats but `subjects200k`."""

    format: Literal["export"]
    split: str = "train"


class MVImgNetSource(StoredSource):
    """Objects from many sides: `category/object/images/*.jpg` (or png, webp)."""

    format: Literal["mvimgnet"]


class WorldSource(Model):
    """The small world, rendered on the fly."""

    format: Literal["world"]
    num_subjects: Positive = 12_000
    """How many subjects there are."""
    views_per_subject: Annotated[int, Field(ge=2, le=1000)] = 4
    """Renders of each subject, each before another background."""
    only_photos: bool = False
    """No other styles, and nothing added to or missing from the subjects."""


SourceConfig = Annotated[
    FolderSource | ImageFolderSource | WebDatasetSource | RunSource | ExportSource | MVImgNetSource | WorldSource,
    Field(discriminator="format"),
]
"""One source of training images; `format` says of which kind, and with it which other keys there are."""

SINGLE_IMAGES = frozenset({"folder", "imagefolder", "webdataset"})
"""Formats whose samples have one image each."""


class DataConfig(Model):
    """What is trained on. All sources are read in one seeded order, their files mixed."""

    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    files_per_read: Positive = 1
    """Files (tar shards, run shards, objects) whose samples are shuffled together."""
    cache: AbsoluteUri | None = None
    """Folder or s3:// prefix for precomputed DINO tokens and latents: filled before training starts, then read instead
    of the images. None: the networks encode each batch as it comes."""
    cache_endpoint_url: EndpointUrl = None
    """Of the cache: S3-compatible storage other than AWS."""
    min_side_px: Count = 0
    """Samples with an image whose central square is smaller are left out, and counted apart from broken ones."""
    max_broken_fraction: Fraction = 0.05
    """Broken samples are counted and skipped; above this share the job stops."""


class OptimizationConfig(Model):
    """How the network is trained; the paper's values where it gives them."""

    max_steps: Annotated[Positive, NOT_CONTENT]
    """Optimizer steps."""
    batch_size: Positive
    """Samples of one optimizer step over all workers."""
    micro_batch_size: Positive
    """Most samples that one worker takes at once; the rest of its share is accumulated."""
    learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 2e-5
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant, or a half cosine down to 0 at `max_steps`."""
    warmup_steps: Count = 1000
    weight_decay: Weight = 0.01
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    max_grad_norm: Annotated[float, Field(gt=0, le=1e30)] = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Of the exponential moving average of the weights, which is sampled and written; warmed up. 0: no average."""
    min_snr_gamma: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Weight of min-SNR (Hang et al. 2023), 5 in that paper; None weighs all timesteps alike."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16: autocast over float32 weights. auto: bf16 where the device computes in it, else fp32."""
    gradient_checkpointing: bool = False
    compile: bool = False
    """torch.compile of the transformer blocks: a minute at the start (and a C++ compiler on the CPU), faster steps."""
    dino_dropout: Fraction = 0.1
    """Probability that a sample's DINO tokens are zeros, for classifier-free guidance."""
    checkpoint_every_steps: Annotated[Positive, NOT_CONTENT] = 1000
    keep_checkpoints: Annotated[Positive, NOT_CONTENT] = 2


class TrackingConfig(Model):
    """What is seen while training runs. TensorBoard files always lie in the run directory."""

    log_every_steps: Positive = 20
    sample_every_steps: Positive = 1000
    num_samples: Positive = 8
    """Rows of the sample grid, the first examples of the data, always with the same seeds."""
    wandb: bool = False
    mlflow: bool = False
    project: str = "toffee"
    """Project (W&B) or experiment (MLflow); servers and keys come from these libraries' own environment variables."""


class WorkersConfig(Model):
    """Ray Train's workers."""

    placement: Literal["ray", "inline"] = "ray"
    """inline: in this process without Ray, one worker; the same numbers, for debugging."""
    num_workers: Positive = 1
    num_cpus: Annotated[float, Field(gt=0, le=1e4)] = 1.0
    num_gpus: Fraction = 0.0
    """Of one worker: 0 or 1."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """fsdp shards weights, gradients and optimizer over the workers (FSDP2)."""
    max_failures: Count = 3
    """How often lost workers are started again from the last checkpoint."""


class TrainingOutputConfig(Model):
    """Where the run directory lies."""

    endpoint_url: EndpointUrl = None
    """S3-compatible storage other than AWS."""


class TrainModels(Model):
    """The networks of a training job."""

    base: ModelSpec
    """Where training starts: a pipeline folder (SDXL; Stable Diffusion 2), `nano`, or `untrained`."""
    vae: ModelSpec | None = None
    """None: the base's own."""
    dino: ModelSpec


class ToffeeNetModels(TrainModels):
    depth: ModelSpec | None = None
    """Estimates the targets' depth; None: the depth column of the dataset, which is the subject image's."""
    detector: ModelSpec | None = None
    segmenter: SegmenterSpec | None = None


class TrainingConfig(Model):
    """What the three jobs share."""

    job: ClassVar[str]
    """Name of the job, and folder of its profiles."""

    seed: Seed = 0
    size_px: Annotated[int, Field(ge=64, le=4096, multiple_of=64)]
    models: TrainModels
    data: DataConfig
    train: OptimizationConfig
    sampling: SamplingConfig = SamplingConfig()
    tracking: Annotated[TrackingConfig, NOT_CONTENT] = TrackingConfig()
    workers: Annotated[WorkersConfig, NOT_CONTENT] = WorkersConfig()
    output: Annotated[TrainingOutputConfig, NOT_CONTENT] = TrainingOutputConfig()
    device: Annotated[Literal["auto", "cpu", "cuda"], NOT_CONTENT] = "auto"

    @model_validator(mode="after")
    def _weights_mean_something(self) -> Self:
        for name, spec in self.models:
            if isinstance(spec, ModelSpec) and spec.weights == "random":
                raise ValueError(f"models.{name}.weights=random: allowed are pretrained, nano and untrained")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        size, workers = self.train.batch_size, self.workers.num_workers
        if size % workers:
            raise ValueError(f"train.batch_size={size} is not divisible by workers.num_workers={workers}")
        if self.workers.placement == "inline" and workers > 1:
            raise ValueError("workers.placement=inline runs one worker: workers.num_workers=1")
        return self

    @property
    def micro_batch_size(self) -> int:
        """Largest divisor of a worker's share of the batch that is at most `train.micro_batch_size`."""
        share = self.train.batch_size // self.workers.num_workers
        return max(size for size in range(1, min(share, self.train.micro_batch_size) + 1) if share % size == 0)


class RefinerTraining(TrainingConfig):
    """`jobs/train_refiner.py`: from DINO tokens back to the image (Eq 1)."""

    job: ClassVar[str] = "train_refiner"


class ViewGeneratorTraining(TrainingConfig):
    """`jobs/train_view_generator.py`: from one view's DINO tokens to another view (Eq 4)."""

    job: ClassVar[str] = "train_view_generator"

    @model_validator(mode="after")
    def _views_are_possible(self) -> Self:
        if single := [source.format for source in self.data.sources if source.format in SINGLE_IMAGES]:
            raise ValueError(
                f"data.sources: format={single[0]} gives single images; the View Generator learns from several views "
                "of each object: allowed are mvimgnet, run, world"
            )
        return self


class ToffeeNetTraining(TrainingConfig):
    """`jobs/train_toffeenet.py` (paper section 3.4, Fig. 8)."""

    job: ClassVar[str] = "train_toffeenet"

    models: ToffeeNetModels
    pairs: Literal["all", "edit", "generation"] = "all"
    """edit and generation train the variants ToffeeNet-E and ToffeeNet-G."""
    dino_input: Literal["whole", "segmented"] = "whole"
    """segmented: all but the subject is black; needs models.detector and models.segmenter."""
    text_dropout: Fraction = 0.1
    constant_depth_probability: Fraction = 0.5
    """How often the depth map is a constant image, which at inference asks for a new view."""
    reconstruction_probability: Fraction = 0.0
    """How often the input image is replaced by the target: 0, 0.25 or 0.5 in the paper."""
    grounding: GroundingConfig = GroundingConfig()
    """What Grounded-SAM takes for the subject, under dino_input=segmented."""

    @model_validator(mode="after")
    def _variant_is_possible(self) -> Self:
        if self.dino_input == "segmented" and None in (self.models.detector, self.models.segmenter):
            raise ValueError("dino_input=segmented needs models.detector and models.segmenter")
        if any(source.format not in ("run", "export") for source in self.data.sources):
            raise ValueError(
                "data.sources: ToffeeNet learns from format=run, the pairs of jobs/generate.py, or format=export"
            )
        return self
