"""Every setting of `jobs/calibrate.py`: those of a run of pairs, and which of them are tried under which values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from toffee_pipeline.config.base import Cosine, Fraction, Model, Positive
from toffee_pipeline.config.clip import ClipSpec
from toffee_pipeline.config.generate import RunConfig

Guidance = Annotated[float, Field(ge=1, le=100)]
Scale = Annotated[float, Field(ge=0, le=10)]
Strength = Annotated[float, Field(gt=0, le=1)]


class SweepsConfig(Model):
    """The values that are tried of each setting; the config's own joins them. []: the setting is left alone.

    The settings take their turns in this order, each on top of what those before it chose.
    """

    draft_guidance_scale: tuple[Guidance, ...] = (3.0, 5.0, 7.5)
    """`stages.draft.sampling.guidance_scale`."""
    controlnet_conditioning_scale: tuple[Scale, ...] = (0.3, 0.5, 0.75, 1.0)
    """`stages.draft.controlnet_conditioning_scale`."""
    edit_controlnet_conditioning_scale: tuple[Scale, ...] = (0.3, 1.0)
    """`stages.draft.edit_controlnet_conditioning_scale`, of each category on its own."""
    edit_strength: tuple[Strength, ...] = (0.6, 0.8, 1.0)
    """`stages.draft.edit_strength`, of each category on its own."""
    a: tuple[Fraction, ...] = (0.3, 0.6, 0.8, 1.0)
    """`stages.refine.a_by_category`, of each category on its own."""
    g: tuple[Cosine, ...] = (0.4, 0.5, 0.6, 0.7)
    """`stages.refine.g`."""
    matching_radius: tuple[Annotated[int, Field(ge=0, le=15)], ...] = (0, 2, 4)
    """`stages.refine.matching_radius`."""
    strength: tuple[Strength, ...] = (0.4, 0.6, 0.8)
    """`stages.refine.strength`, t0 / T."""
    guidance_scale: tuple[Guidance, ...] = (1.0, 3.0, 5.0)
    """`stages.refine.sampling.guidance_scale`."""


class CalibrationSettings(Model):
    """What is tried, on how much, and what counts as good."""

    num_pairs: Positive = 200
    """Of the config's own plan, of whole subjects drawn from all of it by chance (`seed`)."""
    sweeps: SweepsConfig = SweepsConfig()
    similarity: ClipSpec | None = None
    """Whose image embedding the independent similarity compares. null: that of `models.clip`, which judges pairs and
    has no part in making them."""
    judge: Literal["own", "proposed"] = "own"
    """Whether pairs count as accepted by the config's own `stages.judge`, or by it with the proposed `min_dino` and
    `min_clip`, which then stand in the overlay too: take that for encoders that the thresholds were not made for."""
    refuse: Fraction = 0.9
    """Bar of the proposed `min_dino`: the lowest that refuses this share of the pairs of two subjects of a class."""
    keep: Fraction = 0.85
    """Bar of the proposed `min_clip`: the highest that keeps this share of the pictures with their own prompts."""


class CalibrationConfig(RunConfig):
    """One run of `jobs/calibrate.py`. It takes the profiles and files of `jobs/generate.py`."""

    calibration: CalibrationSettings = CalibrationSettings()
