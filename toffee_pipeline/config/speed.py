"""How the networks of a stage compute: levers that leave the pictures as they are, but for last bits."""

from __future__ import annotations

from typing import Literal

from toffee_pipeline.config.base import Model


class SpeedConfig(Model):
    """Of the stage's UNet, and of the ControlNet beside it."""

    channels_last: bool = False
    """Whether convolutions keep the channels of a pixel side by side, as tensor cores read them."""
    fuse_qkv: bool = False
    """Whether the UNet computes query, key and value in one product. Takes the memory of these weights twice."""
    attention: Literal["flash", "efficient", "cudnn", "math"] | None = None
    """The kernel of scaled_dot_product_attention; an error where it cannot compute what it is given. null: torch
    chooses."""
    compile: Literal["inductor", "eager"] | None = None
    """The backend of torch.compile. The first micro-batch of each shape pays for it. eager captures graphs and compiles
    none: it finds what cannot be compiled."""
