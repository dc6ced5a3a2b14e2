"""How the networks of a stage compute. All levers but `cache` leave the pictures as they are, but for last bits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from toffee_pipeline.config.base import Model, Positive


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
    """The backend of torch.compile. An actor compiles before its first shard: that costs minutes, and none of the
    stage's seconds. eager captures graphs and compiles none: it finds what cannot be compiled."""
    cache: Literal["taylorseer", "pab"] | None = None
    """Leaves work out at some steps, and changes the pictures: what the UNet's transformers gave at earlier steps
    stands in. taylorseer: carried on along a line through the last two full steps, transformer by transformer (Liu et
    al. 2025); pab: each attention's output as it was (Pyramid Attention Broadcast, Zhao et al. 2024). The other caches
    of diffusers do nothing to a UNet, or crash in it."""
    cache_interval: Annotated[int, Field(ge=2, le=100)] = 2
    """Of so many steps one is computed in full."""
    cache_after_steps: Positive = 3
    """So many steps at the start are computed in full. Where the batch changes, as at the ends of `guidance_interval`,
    they are counted anew."""

    @model_validator(mode="after")
    def _a_cache_cannot_be_compiled(self) -> Self:
        if self.cache is not None and self.compile is not None:
            raise ValueError(
                f"speed.cache={self.cache} cannot be compiled: it decides at every step; allowed is one of cache and "
                "compile"
            )
        return self
