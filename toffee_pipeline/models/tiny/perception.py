"""The nano depth network and segmenter: stock classes of the real models, made small. Both see 64 px images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

from toffee_pipeline.models.tiny.architectures import SIZE_PX

DEPTH_PATCH_PX = 8
SEGMENTER_PATCH_PX = 4
"""The mask decoder enlarges the patch grid four times: masks come at the image's own 64 px."""
SEGMENTER_DIM = 64


def build_depth() -> tuple[DepthAnythingForDepthEstimation, DPTImageProcessor]:
    """Depth Anything: pixels (b, 3, 64, 64) in -1..1 to relative inverse depth (b, 64, 64), and its image processor."""
    backbone = Dinov2Config(
        image_size=SIZE_PX,
        patch_size=DEPTH_PATCH_PX,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=3,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=DEPTH_PATCH_PX,
        reassemble_hidden_size=96,
        neck_hidden_sizes=[32, 48, 64, 64],
        fusion_hidden_size=16,
        head_hidden_size=16,
    )
    size = {"height": SIZE_PX, "width": SIZE_PX}
    processor = DPTImageProcessor(size=size, ensure_multiple_of=DEPTH_PATCH_PX)
    return DepthAnythingForDepthEstimation(config).eval(), processor


def build_segmenter() -> Sam:
    """Segment Anything: pixels (b, 3, 64, 64) and a box each to masks of 64 px."""
    patches = SIZE_PX // SEGMENTER_PATCH_PX
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=SIZE_PX,
            patch_size=SEGMENTER_PATCH_PX,
            embed_dim=SEGMENTER_DIM,
            depth=4,
            num_heads=2,
            out_chans=SEGMENTER_DIM,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            window_size=8,
            global_attn_indexes=(2,),
        ),
        prompt_encoder=PromptEncoder(SEGMENTER_DIM, (patches, patches), (SIZE_PX, SIZE_PX), mask_in_chans=8),
        mask_decoder=MaskDecoder(
            transformer_dim=SEGMENTER_DIM,
            transformer=TwoWayTransformer(depth=2, embedding_dim=SEGMENTER_DIM, num_heads=2, mlp_dim=128),
            iou_head_hidden_dim=64,
        ),
    ).eval()


def load_segmenter(folder: Path) -> Sam:
    """The trained Segment Anything in `folder`: float32, on the CPU, in eval mode."""
    sam = build_segmenter()
    sam.load_state_dict({name: value.float() for name, value in load_file(folder / "model.safetensors").items()})
    return sam
