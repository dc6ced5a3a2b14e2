"""Edits by a difference of predictions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.flow_edit import flow_edit
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.sampling import Predict, generators
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.models.tiny.untrained import epsilon_scheduler, velocity_scheduler
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.schema.subjects import Subject


def sure_of(image: Tensor, scheduler: DDIMScheduler) -> Predict:
    """A network that sees this clean image in any noise."""

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        alpha_bar = scheduler.alphas_cumprod[timestep].clamp(min=1e-6)
        noise = (latents - alpha_bar.sqrt() * image) / (1 - alpha_bar).sqrt()
        if scheduler.config.prediction_type == "epsilon":
            return noise
        return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * image

    return predict


@pytest.mark.parametrize("build", [epsilon_scheduler, velocity_scheduler])
def test_an_image_becomes_what_the_new_prompt_shows_inside_the_mask(build: Callable[[], DDIMScheduler]) -> None:
    scheduler, mask = build(), torch.zeros(2, 1, 4, 4)
    mask[:, :, 1:3, 1:3] = 1
    clean, wanted = (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    edited = flow_edit(
        sure_of(clean, scheduler),
        sure_of(wanted, scheduler),
        scheduler.config,
        clean,
        generators([0, 1]),
        10,
        0.9,
        mask,
    )
    assert torch.allclose(edited, torch.lerp(clean, wanted, mask), atol=1e-4)
    assert torch.equal(edited[(mask == 0).expand_as(edited)], clean[(mask == 0).expand_as(clean)])


def test_what_both_prompts_say_stays(
    make_config: Callable[..., RunConfig],
    device: torch.device,
    pairs: list[Pair],
    images: list[np.ndarray],
    assert_independent: Callable,
) -> None:
    """The draft of the prompt that the subject has already is the subject; of another prompt it is not, and no sample
    of a batch counts for another."""
    settings = {"edit_strength": {"color": 0.75}, "edit_source_guidance_scale": {"color": 2.0}}
    model = load_role("draft", make_config(stages={"draft": settings}), device)
    edited = [replace(pair, kind="edit", category="color") for pair in pairs]
    subjects = [Subject(pair.subject_id, "mug", f"a photo of mug {row}", 0) for row, pair in enumerate(pairs)]
    depths, everywhere = [image[..., 0].astype(np.float32) / 255 for image in images], np.ones((64, 64), bool)

    def draft(rows: list[int], prompt: str | None = None) -> list:
        asked = [replace(edited[i], draft_prompt=prompt or edited[i].draft_prompt) for i in rows]
        chosen = ([values[i] for i in rows] for values in (subjects, depths, images))
        return model.draft(asked, *chosen, [everywhere] * len(rows))

    assert_independent(draft)
    as_decoded = to_images(model.autoencoder.decode(model.autoencoder.encode(images[:1])))[0].astype(int)
    same, other = (draft([0], prompt)[0].astype(int) for prompt in (subjects[0].prompt, "a green striped mug"))
    assert np.abs(same - as_decoded).max() <= 1
    assert np.abs(other - as_decoded).mean() > 1
