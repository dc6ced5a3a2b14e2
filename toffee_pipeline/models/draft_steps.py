"""What the steps of a draft do: guidance and ControlNet run in a part of them only."""

from __future__ import annotations

from typing import NamedTuple

from toffee_pipeline.config.stages import DraftConfig
from toffee_pipeline.models.sampling import num_steps_from


class Step(NamedTuple):
    """Whether a step of a draft is guided, at twice the batch, and whether its ControlNet runs."""

    guided: bool
    controlled: bool


def plan_steps(settings: DraftConfig, num_steps: int, guides: bool) -> list[Step]:
    """What each of `num_steps` steps does. guides: inside the interval, by a second prediction without a prompt."""
    start, stop = (round(share * num_steps) for share in settings.guidance_interval)
    end = round(settings.control_guidance_end * num_steps)
    return [Step(guides and start <= step < stop, step < end) for step in range(num_steps)]


def kinds_of_steps(settings: DraftConfig, knows_guidance: bool) -> set[Step]:
    """All that drafts of any category take. knows_guidance: the UNet takes its scale as a condition (LCM)."""
    scales = {strength: {settings.sampling.guidance_scale} for strength in (1.0, *settings.edit_strength.values())}
    for category in settings.edit_source_guidance_scale:
        strength, own = settings.start_of(category)
        if own:  # under the subject's prompt
            scales[strength].add(own)
    return {
        step
        for strength, guidance_scales in scales.items()
        for scale in guidance_scales
        for step in plan_steps(
            settings,
            num_steps_from(strength, settings.sampling.num_inference_steps),
            guides=scale > 1 and not knows_guidance,
        )
    }
