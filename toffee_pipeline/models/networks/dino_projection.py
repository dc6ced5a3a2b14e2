"""DINO tokens in place of text: how they enter the Refiner and the View Generator (paper Eq 1 and 4)."""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from torch import nn


def add_dino_projection(unet: UNet2DConditionModel, dino_dim: int) -> None:
    """Give a text-conditioned UNet a new `Linear(dino_dim, cross_attention_dim)`: it then takes (b, n, dino_dim).

    Its folder stays one that stock `from_pretrained` reads. Do not ask `from_pretrained(base, encoder_hid_dim=...)` for
    the layer instead: that leaves it uninitialised.

    Raises ValueError where the UNet already projects its conditions.
    """
    if unet.encoder_hid_proj is not None:
        raise ValueError(f"the UNet already has encoder_hid_dim_type={unet.config.encoder_hid_dim_type}")
    width = unet.config.cross_attention_dim
    unet.encoder_hid_proj = nn.Linear(dino_dim, width, device=unet.device, dtype=unet.dtype)
    unet.register_to_config(encoder_hid_dim=dino_dim, encoder_hid_dim_type="text_proj")
