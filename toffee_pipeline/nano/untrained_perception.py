"""The untrained detector, segmenter and depth network: real classes, tiny, for 64 px images (see `untrained`)."""

from __future__ import annotations

from functools import partial

from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn
from transformers import (
    BertConfig,
    BertTokenizer,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

from toffee_pipeline.nano.architectures import SIZE_PX

BERT_SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
"""Grounding DINO's code holds these ids of BERT's vocabulary as constants."""


def build_depth() -> tuple[DepthAnythingForDepthEstimation, DPTImageProcessor]:
    """Depth Anything and its image processor."""
    backbone = Dinov2Config(
        image_size=SIZE_PX,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=8,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    size = {"height": SIZE_PX, "width": SIZE_PX}
    return DepthAnythingForDepthEstimation(config).eval(), DPTImageProcessor(size=size, ensure_multiple_of=8)


def build_detector() -> tuple[GroundingDinoForObjectDetection, GroundingDinoProcessor]:
    """Grounding DINO and its processor."""
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=SIZE_PX, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4, out_indices=[2, 3]
        ),
        text_config=BertConfig(
            vocab_size=max(BERT_SPECIAL.values()) + 1,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        ),
        d_model=32,
        num_queries=20,
        num_feature_levels=3,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
    )
    size = {"shortest_edge": SIZE_PX, "longest_edge": SIZE_PX}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), bert_tokenizer())
    return GroundingDinoForObjectDetection(config).eval(), processor


def build_segmenter() -> Sam:
    """Segment Anything."""
    dim, patches = 32, SIZE_PX // 8
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=SIZE_PX,
            patch_size=8,
            embed_dim=dim,
            depth=2,
            num_heads=2,
            out_chans=dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=4,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(dim, (patches, patches), (SIZE_PX, SIZE_PX), mask_in_chans=8),
        mask_decoder=MaskDecoder(
            transformer_dim=dim,
            transformer=TwoWayTransformer(depth=1, embedding_dim=dim, num_heads=2, mlp_dim=64),
            iou_head_hidden_dim=32,
        ),
    )


def bert_tokenizer() -> BertTokenizer:
    """A WordPiece tokenizer that spells words out letter by letter."""
    vocab = {f"[unused{index}]": index for index in range(max(BERT_SPECIAL.values()) + 1)}
    tokens = {index: token for token, index in vocab.items()} | {i: t for t, i in BERT_SPECIAL.items()}
    for offset, letter in enumerate("abcdefghijklmnopqrstuvwxyz0123456789"):
        tokens |= {200 + offset: letter, 300 + offset: f"##{letter}"}
    return BertTokenizer(vocab={token: index for index, token in tokens.items()}, model_max_length=256)
