"""Sampling speed: seconds per image of ToffeeNet at its published size, with random weights.

Stable Diffusion 2's UNet with mask, adapter and ControlNet, its VAE and text encoder, under DINOv2-Giant's tokens; the
text, the tokens' encoder and reading a photo are left out of the time. Float32 on a CPU, bfloat16 on a GPU, as
`jobs/customize.py` computes.

    ratio = seconds per image / the 2 seconds that the paper gives
"""

from __future__ import annotations

import time

import click
import numpy as np
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.loading import computes_bfloat16, pick_device
from toffee_pipeline.models.networks import published
from toffee_pipeline.models.networks.toffeenet import ToffeeNetNetwork
from toffee_pipeline.models.tiny.untrained import velocity_scheduler
from toffee_pipeline.models.toffeenet import ToffeeNet
from toffee_pipeline.models.tokenizers import clip_tokenizer

PAPER_S = 2.0


def build(size_px: int, num_inference_steps: int, device: torch.device) -> ToffeeNet:
    """The sampler over random weights."""
    text = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
    with device:
        unet = published.sd2_unet()
        unet.register_to_config(sample_size=size_px // 8)
        network = ToffeeNetNetwork.from_base(unet, published.DINOV2_GIANT_DIM, velocity_scheduler()).eval()
        autoencoder = Autoencoder(published.stable_diffusion_vae())
        text_encoder = CLIPTextModel(CLIPTextConfig(**text)).eval()
    half = device.type == "cuda" and computes_bfloat16(device)
    sampling = SamplingConfig(num_inference_steps=num_inference_steps)
    network.to(torch.bfloat16 if half else torch.float32)
    return ToffeeNet(network, autoencoder, text_encoder, clip_tokenizer(), sampling, device)


@click.command(help=__doc__)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--size-px", type=click.IntRange(64), default=512, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=25, show_default=True, help="DPM++ steps, guidance 3.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@torch.inference_mode()
def main(device: str, size_px: int, steps: int, batch: int) -> None:
    place = pick_device(device)  # type: ignore[arg-type]
    sampler = build(size_px, steps, place)
    count = sum(each.numel() for each in sampler.network.parameters())
    tokens = torch.randn(batch, 257, published.DINOV2_GIANT_DIM)
    if place.type == "cuda":
        sampler.generate(tokens, ["a backpack"] * batch, range(batch))  # the first call loads kernels
    began = time.perf_counter()
    images = sampler.generate(tokens, ["a backpack in the jungle"] * batch, range(batch))
    seconds = (time.perf_counter() - began) / batch
    shapes = {image.shape for image in images if isinstance(image, np.ndarray)}
    broken = sum(isinstance(image, SampleError) for image in images)
    click.echo(
        f"{count / 1e6:.0f} M parameters, {place}, {steps} steps, batch {batch}: {broken} broken of {batch}, {shapes}"
    )
    click.echo(f"{seconds:.2f} s per image, ratio {seconds / PAPER_S:.2f} to the paper's {PAPER_S:.0f} s")


if __name__ == "__main__":
    main()
