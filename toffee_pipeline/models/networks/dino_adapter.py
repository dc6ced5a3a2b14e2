"""DINO tokens beside text: decoupled cross-attention (paper section 3.4, Fig. 8), in IP-Adapter's classes and file.

Every cross-attention of the UNet gets keys and values of its own for DINO tokens and computes
`to_out(attention(text) + scale * attention(dino))`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterFullImageProjection, MultiIPAdapterImageProjection
from torch import Tensor, nn

PROJECTION_LAYERS = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"}
"""Layers of the image projection: as IP-Adapter's files name them, and as diffusers does."""


def add_dino_adapter(unet: UNet2DConditionModel, dino_dim: int) -> None:
    """Put the adapter into a text-conditioned UNet, which computes what it did before: the new values start at zero.

    The new keys start as the text's, as IP-Adapter's do. From then on the UNet needs
    `added_cond_kwargs={"image_embeds": [tokens.unsqueeze(1)]}` with tokens (b, n, dino_dim). Never call
    `fuse_qkv_projections` or `set_default_attn_processor` on it: they drop the adapter.

    Raises ValueError where the UNet already projects its conditions.
    """
    if unet.encoder_hid_proj is not None:
        raise ValueError(f"the UNet already has encoder_hid_dim_type={unet.config.encoder_hid_dim_type}")
    place = {"device": unet.device, "dtype": unet.dtype}
    processors = dict(unet.attn_processors)
    for name in processors:
        if not name.endswith("attn2.processor"):
            continue
        text_keys = unet.get_submodule(name.removesuffix(".processor")).to_k
        adapted = IPAdapterAttnProcessor2_0(text_keys.out_features, text_keys.in_features).to(**place)
        adapted.to_k_ip[0].load_state_dict(text_keys.state_dict())
        nn.init.zeros_(adapted.to_v_ip[0].weight)
        processors[name] = adapted
    unet.set_attn_processor(processors)
    projection = IPAdapterFullImageProjection(dino_dim, unet.config.cross_attention_dim).to(**place)
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([projection])
    unet.register_to_config(encoder_hid_dim_type="ip_image_proj")


def adapters(unet: UNet2DConditionModel) -> dict[str, IPAdapterAttnProcessor2_0]:
    """IP-Adapter's number of each adapted cross-attention and its processor: 1, 3, 5 ... in the UNet's order."""
    found = [each for each in unet.attn_processors.values() if isinstance(each, IPAdapterAttnProcessor2_0)]
    return {str(2 * index + 1): each for index, each in enumerate(found)}


def adapter_state(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The adapter's weights as an IP-Adapter-Full file names them; stock `load_ip_adapter` reads them."""
    projection = unet.encoder_hid_proj.image_projection_layers[0].state_dict()
    state = {
        f"image_proj.{stored}.{kind}": projection[f"{layer}.{kind}"]
        for stored, layer in PROJECTION_LAYERS.items()
        for kind in ("weight", "bias")
    }
    for number, processor in adapters(unet).items():
        for layer in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{number}.{layer}.weight"] = getattr(processor, layer)[0].weight.detach()
    return {name: value.contiguous() for name, value in state.items()}


def load_adapter_state(unet: UNet2DConditionModel, state: Mapping[str, Tensor]) -> None:
    """Add the adapter with the weights that `adapter_state` gave. Raises KeyError where one is missing."""
    add_dino_adapter(unet, state["image_proj.proj.0.weight"].shape[1])
    unet.encoder_hid_proj.image_projection_layers[0].load_state_dict(
        {
            f"{layer}.{kind}": state[f"image_proj.{stored}.{kind}"]
            for stored, layer in PROJECTION_LAYERS.items()
            for kind in ("weight", "bias")
        }
    )
    for number, processor in adapters(unet).items():
        for layer in ("to_k_ip", "to_v_ip"):
            getattr(processor, layer)[0].load_state_dict({"weight": state[f"ip_adapter.{number}.{layer}.weight"]})


def without_adapter(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A stock UNet that shares all other weights. The adapted one itself would write a folder that nothing loads."""
    with torch.device("meta"):
        stock = UNet2DConditionModel.from_config(unet.config, encoder_hid_dim_type=None)
    own = {
        name: value
        for name, value in unet.state_dict().items()
        if not name.startswith("encoder_hid_proj.") and ".processor." not in name
    }
    stock.load_state_dict(own, assign=True)
    return stock
