"""What the steps of a draft do: guidance and ControlNet run in a part of them only."""

from __future__ import annotations

from typing import NamedTuple

from toffee_pipeline.config.stages import DraftConfig
from toffee_pipeline.models.sampling import num_steps_from


class Step(NamedTuple):
    """Whether a step of a draft is guided, at twice the batch, and whether its ControlNet runs."""

    guided: bool
    controlled: bool


def plan_steps(settings: DraftConfig, num_steps: int, guides: bool, moves: bool = False) -> list[Step]:
    """What each of `num_steps` steps does.

    Args:
        guides: by a second prediction without a prompt.
        moves: a picture, by the difference of two prompts, which is guided to its end; else inside the interval.
    """
    start, stop = (0, num_steps) if moves else (round(share * num_steps) for share in settings.guidance_interval)
    end = round(settings.control_guidance_end * num_steps)
    return [Step(guides and start <= step < stop, step < end) for step in range(num_steps)]


def kinds_of_steps(settings: DraftConfig, knows_guidance: bool) -> set[Step]:
    """All that drafts of any category take. knows_guidance: the UNet takes its scale as a condition (LCM)."""
    scale = settings.sampling.guidance_scale
    runs = {(1.0, scale, False)}
    for category in {*settings.edit_strength, *settings.edit_source_guidance_scale}:
        strength, own = settings.start_of(category)
        runs.add((strength, scale, bool(own)))
        if own:  # under the subject's prompt
            runs.add((strength, own, True))
    return {
        step
        for strength, guidance_scale, moves in runs
        for step in plan_steps(
            settings,
            num_steps_from(strength, settings.sampling.num_inference_steps),
            guidance_scale > 1 and not knows_guidance,
            moves,
        )
    }
