"""Every setting of a run of `jobs/refine_pairs.py`. `profiles/refine_pairs/*.yaml` hold the values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toffee_pipeline.config.base import AbsoluteUri, Category, Model, ModelSpec, Positive, SegmenterSpec, VaeSpec
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.dataset import ImageDatasetConfig
from toffee_pipeline.config.endpoint import EndpointUrl
from toffee_pipeline.config.generate import PairsOutputConfig, RunConfig, check_aesthetic
from toffee_pipeline.config.safety import PromptGuardSpec, SafetensorsSpec, TextFilterConfig
from toffee_pipeline.config.stages import (
    CheckImagesConfig,
    CheckPromptsConfig,
    JudgeConfig,
    RefineConfig,
    ScoreConfig,
    SegmentConfig,
)


class GivenPairs(Model):
    """Somebody's pairs: an input image, and the same edited."""

    path: AbsoluteUri
    """A local folder or s3://bucket/prefix."""
    endpoint_url: EndpointUrl = None
    """S3-compatible storage other than AWS."""
    class_name: str = "object"
    """What the pictures show, where a row does not say it: the phrase for Grounded-SAM."""
    category: Category = "background"
    """What kind of change, where a row does not say it."""
    categories: dict[str, Category] = {}
    """What the words in the column `category` mean, as {env: background}; of others the category is the one above."""


class PairColumns(Model):
    """Which column holds what; null: none. A dot leads into a struct, and of a list the first element counts."""

    input: str = "input_image"
    edited: str = "target_image"
    """The same as `input`: one picture holds both, the input at its left."""
    padding_px: Annotated[int, Field(ge=0, le=1000)] = 0
    """Of a picture that holds both: the border around each half."""
    prompt: str | None = "prompt"
    """What the edited image shows; CLIP scores it. Where a row has none, its instruction takes its place."""
    input_prompt: str | None = "input_prompt"
    instruction: str | None = "instruction"
    class_name: str | None = "class_name"
    category: str | None = "category"

    @model_validator(mode="after")
    def _words_for_clip(self) -> Self:
        if self.prompt is None and self.instruction is None:
            raise ValueError("columns.prompt and columns.instruction: CLIP needs one of them")
        return self


class FolderColumns(PairColumns):
    """Of metadata beside images: `input` and `edited` name files. As `jobs/export.py` writes them."""

    input: str = "input_file_name"
    edited: str = "file_name"


class InstructPix2PixPairs(GivenPairs):
    """InstructPix2Pix's layout: `seeds.json`, and folders with `prompt.json`, `SEED_0.jpg` and `SEED_1.jpg`."""

    format: Literal["instructpix2pix"]


class ImageFolderPairs(GivenPairs):
    """Images and `metadata.csv`, `.jsonl` or `.parquet`, as of Hugging Face's imagefolder."""

    format: Literal["imagefolder"]
    columns: FolderColumns = FolderColumns()


class ParquetPairs(GivenPairs):
    """All `*.parquet` below a folder, with images as of Hugging Face."""

    format: Literal["parquet"]
    columns: PairColumns = PairColumns()


class WebDatasetPairs(GivenPairs):
    """All `*.tar` below a folder. An image is the file `NAME.COLUMN` or `NAME.COLUMN.jpg` of a sample (or png, webp); a
    text stands in its `.json`, or in `NAME.COLUMN.txt`."""

    format: Literal["webdataset"]
    columns: PairColumns = PairColumns()


GivenPairsConfig = Annotated[
    InstructPix2PixPairs | ImageFolderPairs | ParquetPairs | WebDatasetPairs, Field(discriminator="format")
]


class RefinementModels(Model):
    """The weights behind each role."""

    dino: ModelSpec
    refiner: ModelSpec
    vae: VaeSpec
    """The VAE that the Refiner works in."""
    clip: ClipSpec
    filter_dino: ModelSpec
    aesthetic: ModelSpec | None = None
    """As in a run of `jobs/generate.py`."""
    detector: ModelSpec | None = None
    segmenter: SegmenterSpec | None = None
    """Of Grounded-SAM, which `stages.refine.region` asks for."""
    prompt_guard: PromptGuardSpec | None = None
    """A guard model for `stages.check_prompts`. null: off."""
    image_safety: SafetensorsSpec | None = None
    """An image classifier for `stages.check_images`. null: off."""


class RefinementStages(Model):
    """The table for pairs that are given."""

    screen: TextFilterConfig = TextFilterConfig()
    check_prompts: CheckPromptsConfig = CheckPromptsConfig()
    segment: SegmentConfig = SegmentConfig()
    refine: RefineConfig = RefineConfig()
    check_images: CheckImagesConfig = CheckImagesConfig()
    score: ScoreConfig = ScoreConfig()
    judge: JudgeConfig = JudgeConfig()


class RefinementConfig(ImageDatasetConfig):
    """One run of `jobs/refine_pairs.py`. A pair is one of kind generation: all of its edited image is painted anew."""

    job: ClassVar[str] = "refine_pairs"
    source: GivenPairsConfig
    max_pairs: Positive | None = None
    """Only the first so many."""
    other_languages: Literal["refuse", "pass"] = "refuse"
    """What becomes of pairs whose prompt is not English, which CLIP's filter does not understand. They are counted
    either way. refuse: each is rejected as other_language; pass: it is refined as the others."""
    models: RefinementModels
    stages: RefinementStages = RefinementStages()
    output: PairsOutputConfig = PairsOutputConfig()

    @property
    def model_stages(self) -> tuple[str, ...]:
        """Without a region there is nothing to find."""
        found = self.stages.refine.region == "subject"
        return tuple(name for name in super().model_stages if name != "segment" or found)

    @model_validator(mode="after")
    def _models_of_what_is_on(self) -> Self:
        if self.stages.refine.region == "subject" and (self.models.detector is None or self.models.segmenter is None):
            raise ValueError("stages.refine.region=subject needs models.detector and models.segmenter, Grounded-SAM")
        check_aesthetic(self.stages.judge, self.models.aesthetic)
        return self


PairDatasetConfig = RunConfig | RefinementConfig
"""Of the jobs that make pairs."""
