"""The table of stages: in the order of a pair's life, each with all its settings in one block.

Names, the settings' class, metrics, reports and the ledger's columns follow from it; `actors/chain.py` names the class
that computes each.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from toffee_pipeline.config.base import (
    NOT_CONTENT,
    Amount,
    Category,
    Cosine,
    Fraction,
    GroundingConfig,
    Model,
    Positive,
    SamplingConfig,
    Seconds,
)
from toffee_pipeline.config.safety import TextFilterConfig
from toffee_pipeline.config.speed import SpeedConfig

HashDistance = Annotated[int, Field(ge=0, le=64)]
"""Bits in which two perceptual hashes differ (`pixels.perceptual_hash`)."""


class StageConfig(Model):
    """A stage that computes with models: its micro-batch and its resources."""

    makes_images: ClassVar[bool] = False
    needs: ClassVar[str | None] = None
    """The key of `models` without which a run does not have the stage."""

    batch_size: Positive = 8
    """Micro-batch inside a stage. It is part of the content: another size can change last bits."""
    timeout_s: Annotated[float, Field(gt=0, le=1e7), NOT_CONTENT] = 900.0
    """Of a micro-batch: an actor that takes longer is ended and replaced."""
    num_actors: Annotated[Positive | None, NOT_CONTENT] = None
    """Actors of this stage in placement pools. None: as many as the planner finds for it."""
    num_cpus: Annotated[Amount, NOT_CONTENT] = 1.0
    num_gpus: Annotated[Amount, NOT_CONTENT] = 0.0
    gpu_memory_gib: Annotated[Amount, NOT_CONTENT] = 0.0
    """GPU memory of an actor of this stage: weights, and what a micro-batch needs. 0: not known."""
    seconds_per_pair: Annotated[Seconds, NOT_CONTENT] = 1.0
    """Over all planned pairs: what the planner of placement pools goes by until the run has figures of its own."""

    @property
    def on(self) -> bool:
        """Whether a run has this stage."""
        return True


class CheckPromptsConfig(StageConfig):
    """A guard model reads the prompts of subjects and drafts before anything is generated; off without
    `models.prompt_guard`."""

    needs: ClassVar[str | None] = "prompt_guard"
    refuse: Literal["unsafe", "controversial"] = "unsafe"
    """controversial: also what Qwen3Guard calls so; the other families know only safe and unsafe."""


class CheckImagesConfig(StageConfig):
    """A classifier looks at every image that would be written; off without `models.image_safety`."""

    needs: ClassVar[str | None] = "image_safety"
    unsafe_labels: Annotated[tuple[str, ...], Field(min_length=1)] = ("nsfw",)
    """In the classifier's own words."""
    max_unsafe: Fraction = 0.5
    """Of the sum of their probabilities, in any image of a pair."""


class SynthesizeConfig(StageConfig):
    """Subject images by text to image; of a folder or the renderer, sampling does not count."""

    makes_images: ClassVar[bool] = True
    speed: SpeedConfig = SpeedConfig()
    sampling: SamplingConfig = SamplingConfig(guidance_scale=5.0)
    min_hash_distance: HashDistance | None = None
    """Bits of 64 in which the perceptual hashes of two subjects of a shard must differ; the later one is rejected, with
    its pairs. null: all may look alike. A bank was judged when it was made. Over a whole run alike ones are counted at
    its end, and dropped by `jobs/refilter.py` (`min_subject_hash_distance`)."""


class SegmentConfig(StageConfig, GroundingConfig):
    """Grounded-SAM; which masks can carry an edit."""

    min_fraction: Fraction = 0.01
    max_fraction: Fraction = 0.95


class DepthConfig(StageConfig):
    """The depth network."""


class DraftConfig(StageConfig):
    """Text to image under the depth ControlNet; of edit pairs inside the editing mask alone."""

    makes_images: ClassVar[bool] = True
    speed: SpeedConfig = SpeedConfig()
    sampling: SamplingConfig = SamplingConfig(guidance_scale=5.0)
    controlnet_conditioning_scale: Annotated[float, Field(ge=0, le=10)] = 0.5
    """How strictly the draft follows the subject's depth."""
    edit_controlnet_conditioning_scale: dict[Category, Annotated[float, Field(ge=0, le=10)]] = {}
    """The same of edit pairs, by category: the depth map knows nothing of what is added, for instance."""
    edit_strength: dict[Category, Annotated[float, Field(gt=0, le=1)]] = {}
    """How far the subject's picture is noised inside the editing mask, by category; 1, and a category that is not
    there, draws from noise."""
    edit_source_guidance_scale: dict[Category, Annotated[float, Field(ge=1, le=100)]] = {}
    """Of these categories nothing is drawn from that noised picture: the picture itself moves by the difference of what
    the network makes of it under the draft's prompt and under the subject's own, guided this much (FlowEdit, Kulikov et
    al. 2025). What both prompts say stays. A step costs twice as much. Without effect at a strength of 1, which has no
    picture to start from."""
    control_guidance_end: Fraction = 1.0
    """Share of a draft's steps after which the ControlNet is left out, and costs nothing."""
    guidance_interval: tuple[Fraction, Fraction] = (0.0, 1.0)
    """Shares of a draft's steps between which it is guided (Kynkäänniemi et al. 2024). Others take half the time. What
    `edit_source_guidance_scale` moves is guided at every step."""

    @model_validator(mode="after")
    def _interval_begins_before_it_ends(self) -> Self:
        start, stop = self.guidance_interval
        if start > stop:
            raise ValueError(f"guidance_interval=[{start}, {stop}] ends before it begins")
        return self

    def strength_of(self, edited: Category | None) -> float:
        """edited: the category of an edit pair; None for a generation pair, which is drawn from noise."""
        return self.edit_strength.get(edited, 1.0) if edited else 1.0

    def start_of(self, edited: Category | None) -> tuple[float, float]:
        """What the drafts of a micro-batch share: `strength_of`, and the guidance under the subject's own prompt, 0
        where the draft takes no difference to it."""
        strength = self.strength_of(edited)
        own = self.edit_source_guidance_scale.get(edited, 0.0) if edited and strength < 1 else 0.0
        return strength, own

    def scale_of(self, edited: Category | None) -> float:
        """The ControlNet's conditioning scale; edited: as in `strength_of`."""
        own = self.controlnet_conditioning_scale
        return self.edit_controlnet_conditioning_scale.get(edited, own) if edited else own


class GateConfig(StageConfig):
    """A cheap check before expensive work: what fails it is rejected there, and costs nothing more. null: off. A gate
    with a bound below the filter's own loses no pair that only its final image would have saved."""

    seconds_per_pair: Annotated[Seconds, NOT_CONTENT] = 0.02

    @property
    def on(self) -> bool:
        return any(getattr(self, name) is not None for name in type(self).model_fields if name.startswith("min_"))


class CheckSubjectConfig(GateConfig):
    """CLIP of the subject's image and its own prompt, before any draft."""

    min_clip: Cosine | None = None


class CheckDraftConfig(GateConfig):
    """CLIP of the draft and the pair's prompt, before it is refined."""

    min_clip: Cosine | None = None


class CheckRefinedConfig(GateConfig):
    """DINO of a generation pair's refined image and the subject's, before its other view is drawn."""

    min_dino: Cosine | None = None


class RefineConfig(StageConfig):
    """DINO mix (Eq 2-3) and SDEdit; also what `edit` paints with."""

    makes_images: ClassVar[bool] = True
    speed: SpeedConfig = SpeedConfig()
    a: Fraction = 0.6
    """Weight of the subject's token in the mix."""
    g: Cosine = 0.6
    """Least cosine at which a draft patch is mixed."""
    a_by_category: dict[Category, Fraction] = {}
    """Overrides `a` where the subject's look is what changes, such as color: a full mix would undo the change."""
    region: Literal["everywhere", "subject"] = "everywhere"
    """everywhere: the paper's mix; subject: only patches inside the subject's mask, in both images, and outside the
    draft's subject its pixels stay."""
    matching_radius: Annotated[int, Field(ge=0, le=15)] = 0
    """Patches around a patch that must match too (ours): a match is scored by its mean over their offsets. 0: Eq 2 as
    published."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.6
    """t0 / T: how far the draft is noised. As diffusers has it, the share of the steps that are taken: with the Karras
    sigmas of dpm++, 0.6 of 25 steps start at 0.57 T, and 0.4 at 0.21 T."""
    sampling: SamplingConfig = SamplingConfig()

    def a_of(self, category: Category) -> float:
        """The category's `a`; at 0 nothing is taken from the subject, and an edit pair keeps its draft."""
        return self.a_by_category.get(category, self.a)


class EditConfig(StageConfig):
    """The editing masks, and Blended Diffusion inside them with the method of `refine`."""

    makes_images: ClassVar[bool] = True
    dilation_fraction: Fraction = 0.015
    """Dilation of the editing mask as a share of the image's side."""
    addition_margin_fraction: Fraction = 0.2
    """How far around the subject something may be added, as a share of the image's side."""


class ViewConfig(StageConfig):
    """The View Generator."""

    makes_images: ClassVar[bool] = True
    speed: SpeedConfig = SpeedConfig()
    sampling: SamplingConfig = SamplingConfig()


class ScoreConfig(StageConfig):
    """The encoders of the filter."""


class JudgeConfig(Model):
    """Bounds of the scores; null switches one off. They hold for one encoder only: CLIP ViT-B/32 and DINO ViT-S/16 in
    the paper. Judging needs no model and no actor of its own."""

    min_dino: Cosine | None = 0.6
    max_dino: Cosine | None = None
    """Of generation pairs: above it the target is the input again. An edit may keep most of its input."""
    min_hash_distance: HashDistance | None = None
    """Of generation pairs: bits of 64 in which the perceptual hashes of input and target must differ."""
    min_change: Annotated[float, Field(ge=0, le=255)] | None = 1.0
    """Of edit pairs: levels of 0..255 by which the most changed hundredth of the editing mask must differ. Below 1
    nothing has changed."""
    min_clip: Cosine | None = 0.3
    min_clip_gain: Annotated[float, Field(ge=-2, le=2)] | None = None
    """Of CLIP of the target and the prompt, less CLIP of the input and the prompt: whether the change is shown. Of this
    project, not the paper's."""
    min_aesthetic: Annotated[float, Field(ge=-100, le=100)] | None = None
    """On the scale of `models.aesthetic`; LAION's heads give about 1..10."""


class SubjectJudgeConfig(Model):
    """Bounds of a subject's scores; null switches one off. Its mask is judged by `segment`."""

    min_clip: Cosine | None = 0.2
    """Of the image and the subject's own prompt."""


class SubjectStagesConfig(Model):
    """The stages that make a subject."""

    screen: TextFilterConfig = TextFilterConfig()
    check_prompts: CheckPromptsConfig = CheckPromptsConfig()
    synthesize: SynthesizeConfig = SynthesizeConfig()
    segment: SegmentConfig = SegmentConfig()
    depth: DepthConfig = DepthConfig()


class BankStagesConfig(SubjectStagesConfig):
    """The table for a subject bank."""

    check_images: CheckImagesConfig = CheckImagesConfig()
    score: ScoreConfig = ScoreConfig()
    judge: SubjectJudgeConfig = SubjectJudgeConfig()


class StagesConfig(SubjectStagesConfig):
    """The table for pairs: a field per stage."""

    check_subject: CheckSubjectConfig = CheckSubjectConfig()
    draft: DraftConfig = DraftConfig()
    check_draft: CheckDraftConfig = CheckDraftConfig()
    refine: RefineConfig = RefineConfig()
    check_refined: CheckRefinedConfig = CheckRefinedConfig()
    edit: EditConfig = EditConfig()
    view: ViewConfig = ViewConfig()
    check_images: CheckImagesConfig = CheckImagesConfig()
    score: ScoreConfig = ScoreConfig()
    judge: JudgeConfig = JudgeConfig()


def settings_of(table: type[Model]) -> dict[str, type[StageConfig]]:
    """The stages of a table that compute with models, and the class of their settings."""
    return {
        name: field.annotation
        for name, field in table.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, StageConfig)
    }


STAGES: tuple[str, ...] = tuple(StagesConfig.model_fields)
"""All stages in their order; planning comes before them and writing after. A subject bank has some of them."""
MODEL_STAGES: tuple[str, ...] = tuple(settings_of(StagesConfig))
"""Those that compute with models."""
BANK_STAGES: tuple[str, ...] = tuple(settings_of(BankStagesConfig))
IMAGE_STAGES: tuple[str, ...] = tuple(
    name for name, settings in settings_of(StagesConfig).items() if settings.makes_images
)
