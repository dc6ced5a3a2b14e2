"""What a model card says of the three networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """What the card says of a network, whatever it was trained on."""

    title: str
    section: str
    text: str
    load: str
    rest: str
    """What else it takes to draw with it."""
    tags: tuple[str, ...]


ABOUT = {
    "train_refiner": About(
        "Toffee Refiner",
        "section 3.1, Eq 1",
        "A UNet that draws an image from its DINO tokens, without text. The data pipeline uses it to bring a\n"
        "subject's details back into a draft: it noises the draft and denoises it under the mixed tokens of both.",
        "from pathlib import Path\n"
        "from toffee_pipeline.models.networks.refiner import RefinerNetwork\n"
        'network = RefinerNetwork.load(Path("{folder}"){scale})',
        "The VAE is not in this folder: it is the base's, or `models.vae` below. For `jobs/generate.py`:\n"
        "`--set models.refiner.path=FOLDER`.",
        ("image-to-image", "stable-diffusion-xl"),
    ),
    "train_view_generator": About(
        "Toffee View Generator",
        "section 3.2, Eq 4",
        "A Stable Diffusion pipeline that takes the DINO tokens of a subject's image in place of text, and draws\n"
        "the same subject from another view.",
        "from diffusers import StableDiffusionPipeline\n"
        "parts = dict(text_encoder=None, tokenizer=None, safety_checker=None, feature_extractor=None)\n"
        'pipeline = StableDiffusionPipeline.from_pretrained("{folder}", **parts)',
        "DINO tokens are its `prompt_embeds`. For `jobs/generate.py`: `--set models.view_generator.path=FOLDER`.",
        ("image-to-image", "stable-diffusion"),
    ),
    "train_toffeenet": About(
        "ToffeeNet",
        "section 3.4",
        "Stable Diffusion with a DINO cross-attention, an editing mask and a depth ControlNet: it draws the subject\n"
        "of one image as a text asks, or edits a region of it, without tuning per subject.",
        "from pathlib import Path\n"
        "from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork\n"
        'network = ToffeeNetNetwork.load(Path("{folder}"))',
        "Not in this folder: the VAE, which is the base's or `models.vae` below, and the base's text encoder and\n"
        "tokenizer. `jobs/customize.py --model RUN` draws with all of it, where this folder lies in its run directory.",
        ("text-to-image", "image-to-image", "stable-diffusion", "controlnet", "ip-adapter"),
    ),
}
"""By job."""
