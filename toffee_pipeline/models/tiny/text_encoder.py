"""The nano world's text encoder for latent diffusion: the trained nano CLIP's text tower, in transformers' classes."""

from __future__ import annotations

from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from toffee_pipeline.models.tiny.architectures import TEXT_DIM, build_text_config
from toffee_pipeline.models.tokenizers import nano_tokenizer
from toffee_pipeline.models.weights import NANO_WEIGHTS

LAYERS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""Layers of a block: as open_clip names them, and as transformers does."""


def build_text_encoder() -> tuple[CLIPTextModel, CLIPTokenizer]:
    """The trained text tower, float32 in eval mode, and its tokenizer: 24 ids to states (b, 24, 128)."""
    tokenizer = nano_tokenizer()
    encoder = CLIPTextModel(build_text_config(len(tokenizer)))
    encoder.load_state_dict(_renamed(_clip_state(), encoder.config.num_hidden_layers))
    return encoder.eval(), tokenizer


def build_projected_text_encoder() -> CLIPTextModelWithProjection:
    """The same tower with CLIP's projection, whose pooled text (b, 128) is the embedding that CLIP compares."""
    config = build_text_config(len(nano_tokenizer()))
    config.projection_dim = TEXT_DIM
    encoder = CLIPTextModelWithProjection(config)
    state = _clip_state()
    tower = {f"text_model.{name}": value for name, value in _renamed(state, config.num_hidden_layers).items()}
    encoder.load_state_dict(tower | {"text_projection.weight": state["text_projection"].T})
    return encoder.eval()


def _clip_state() -> dict[str, Tensor]:
    return {name: value.float() for name, value in load_file(NANO_WEIGHTS / "clip" / "model.safetensors").items()}


def _renamed(state: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    renamed = {
        "embeddings.token_embedding.weight": state["token_embedding.weight"],
        "embeddings.position_embedding.weight": state["positional_embedding"],
    }
    for kind in ("weight", "bias"):
        renamed[f"final_layer_norm.{kind}"] = state[f"ln_final.{kind}"]
        for index in range(num_layers):
            source, target = f"transformer.resblocks.{index}", f"encoder.layers.{index}"
            for theirs, ours in LAYERS.items():
                renamed[f"{target}.{ours}.{kind}"] = state[f"{source}.{theirs}.{kind}"]
            for name, part in zip("qkv", state[f"{source}.attn.in_proj_{kind}"].chunk(3), strict=True):
                renamed[f"{target}.self_attn.{name}_proj.{kind}"] = part
    return renamed
