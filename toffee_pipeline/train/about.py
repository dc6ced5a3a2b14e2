"""What a model card says of the three networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """What the card says of a network, whatever it was trained on."""

    title: str
    section: str
    text: str
    tags: tuple[str, ...]


ABOUT = {
    "train_refiner": About(
        "Toffee Refiner",
        "section 3.1, Eq 1",
        "A UNet that draws an image from its DINO tokens, without text. The data pipeline uses it to bring a\n"
        "subject's details back into a draft: it noises the draft and denoises it under the mixed tokens of both.",
        ("image-to-image", "stable-diffusion-xl"),
    ),
    "train_view_generator": About(
        "Toffee View Generator",
        "section 3.2, Eq 4",
        "A Stable Diffusion pipeline that takes the DINO tokens of a subject's image in place of text, and draws\n"
        "the same subject from another view.",
        ("image-to-image", "stable-diffusion"),
    ),
    "train_toffeenet": About(
        "ToffeeNet",
        "section 3.4",
        "Stable Diffusion with a DINO cross-attention, an editing mask and a depth ControlNet: it draws the subject\n"
        "of one image as a text asks, or edits a region of it, without tuning per subject.",
        ("text-to-image", "image-to-image", "stable-diffusion", "controlnet", "ip-adapter"),
    ),
}
"""By job."""
