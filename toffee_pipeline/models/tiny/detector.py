"""The nano detector: OWL-ViT's classes made small, over the nano CLIP's vocabulary.

Not Grounding DINO, whose score has no bias of its own: small and trained from nothing, all its names turn alike long
before it tells one thing from another. OWL-ViT keeps apart how likely a patch is a thing and which.
"""

from __future__ import annotations

from torch import nn
from transformers import OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor

from toffee_pipeline.models.tiny.architectures import SIZE_PX
from toffee_pipeline.models.tokenizers import CONTEXT_LENGTH, nano_tokenizer

DETECTOR_PATCH_PX = 8
DETECTOR_TEXT_DIM = 64


def build_detector() -> tuple[OwlViTForObjectDetection, OwlViTProcessor]:
    """OWL-ViT with a box for each of 8 x 8 patches, and its processor for 64 px images."""
    tokenizer = nano_tokenizer()
    config = OwlViTConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": DETECTOR_TEXT_DIM,
            "intermediate_size": 2 * DETECTOR_TEXT_DIM,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": CONTEXT_LENGTH,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 384,
            "num_hidden_layers": 5,
            "num_attention_heads": 3,
            "image_size": SIZE_PX,
            "patch_size": DETECTOR_PATCH_PX,
        },
        projection_dim=DETECTOR_TEXT_DIM,
    )
    model = OwlViTForObjectDetection(config)
    for head in (model.class_head, model.box_head):
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()  # OWL-ViT's own start suits layers many times as wide
    nn.init.constant_(model.class_head.logit_scale.bias, 10.0)
    nn.init.constant_(model.class_head.logit_shift.bias, -0.3)
    size = {"height": SIZE_PX, "width": SIZE_PX}
    image_processor = OwlViTImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return model.eval(), OwlViTProcessor(image_processor, tokenizer)
