"""DINO tokens and their mix (paper Eq 2-3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.models.loading import build_untrained, load_model
from toffee_pipeline.models.tensors import HALF, IMAGENET_MEAN, IMAGENET_STD, normalize, resize, to_tensor
from toffee_pipeline.models.weights import config_options, load_pretrained, resolve

GRID = 16


class DinoEncoder:
    """The frozen encoder E. The paper's is DINOv2-Giant at 224 px: 257 x 1536 tokens."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.device = device
        self.model = load_model(Dinov2Model, spec, "dino", device)
        # The processor that comes with DINOv2 crops the border: patches would no longer cover the image.
        self.size_px = GRID * self.model.config.patch_size
        self.mean, self.std = pixel_statistics(spec)

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) each to float32 (b, 1 + 256, c) on the device: CLS, then 16 x 16 patches by rows."""
        pixels = normalize(resize(to_tensor(images, self.device), self.size_px), self.mean, self.std)
        return self.model(pixels.to(self.model.dtype)).last_hidden_state.float()

    def encode_mixed(
        self,
        drafts: Sequence[np.ndarray],
        subject_tokens: Sequence[np.ndarray],
        a: Sequence[float],
        g: float,
        draft_masks: Sequence[np.ndarray] | None = None,
        subject_masks: Sequence[np.ndarray] | None = None,
        matching_radius: int = 0,
    ) -> Tensor:
        """The tokens that the Refiner paints: each draft's, mixed with its subject's (`mix_tokens`).

        Args:
            drafts: uint8 (H, W, 3) each.
            subject_tokens: (1 + n, c) each, any float dtype.
            a: weight of the subject's token, one per draft.
            g: least cosine.
            draft_masks, subject_masks: bool (H, W) each: only patches inside receive, or give. None: all of them.
            matching_radius: patches around a patch that must match too.
        """
        tokens = self.encode(drafts)
        receive, give = (
            None
            if masks is None
            else torch.from_numpy(np.stack([patch_region(mask, tokens.shape[1] - 1) for mask in masks])).to(self.device)
            for masks in (draft_masks, subject_masks)
        )
        weights = torch.tensor(a, device=tokens.device)
        return mix_tokens(tokens, stack_tokens(subject_tokens).to(tokens), weights, g, receive, give, matching_radius)


def pixel_statistics(spec: ModelSpec) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation by which a DINO's pixels are normalized."""
    return (IMAGENET_MEAN, IMAGENET_STD) if spec.is_published else (HALF, HALF)


def token_dim(spec: ModelSpec) -> int:
    """Width of a DINO's tokens, from its config alone."""
    if spec.weights == "untrained":
        return build_untrained("dino").config.hidden_size
    return load_pretrained(Dinov2Config, resolve(spec, "dino"), **config_options(spec)).hidden_size


def stack_tokens(tokens: Sequence[np.ndarray]) -> Tensor:
    """(1 + n, c) each to float32 (b, 1 + n, c) on the CPU."""
    return torch.from_numpy(np.stack(tokens)).float()


def mix_tokens(
    draft: Tensor,
    subject: Tensor,
    a: Tensor | float,
    g: float,
    draft_region: Tensor | None = None,
    subject_region: Tensor | None = None,
    matching_radius: int = 0,
) -> Tensor:
    """Give each draft patch a share of its best match in the subject (Eq 2-3).

    j*(i) = argmax_j score(i, j); the score is cos(draft_i, subject_j), or with a radius its mean over the patches
    around both (`neighborhood_mean`, ours); m_i = a * subject_j* + (1 - a) * draft_i where that cosine is at least g,
    else draft_i. The CLS token stays the draft's (ours: the paper does not say).

    Args:
        draft, subject: (b, 1 + n, c), CLS first.
        a: weight of the subject's token, 0..1; float, or (b,).
        g: least cosine.
        draft_region, subject_region: bool (b, n): patches that may receive, and that may give. Without an allowed patch
            a sample keeps its draft. Neighbours outside still count in the score.
        matching_radius: of the neighbourhood, in patches; 0 is the paper's Eq 2.

    Returns:
        (b, 1 + n, c) in the dtype of `draft`.
    """
    patches, source = draft[:, 1:].float(), subject[:, 1:].float()  # half precision changes 1 % of the matches
    cosine = F.normalize(patches, dim=-1) @ F.normalize(source, dim=-1).transpose(1, 2)
    score = neighborhood_mean(cosine, matching_radius)
    if subject_region is not None:
        score = score.masked_fill(~subject_region[:, None], -torch.inf)
    best, match = score.max(-1, keepdim=True)
    use = (cosine.gather(-1, match) >= g) & best.isfinite()
    if draft_region is not None:
        use &= draft_region[..., None]
    matched = source.gather(1, match.expand(-1, -1, source.shape[-1]))
    weight = torch.as_tensor(a, dtype=torch.float32, device=draft.device).reshape(-1, 1, 1)
    mixed = torch.where(use, weight * matched + (1 - weight) * patches, patches)
    return torch.cat([draft[:, :1], mixed.to(draft.dtype)], 1)


def neighborhood_mean(cosine: Tensor, radius: int) -> Tensor:
    """How well the surroundings of two patches agree: the mean of cos(draft_{i+d}, subject_{j+d}) over all offsets d of
    up to `radius` patches by row and column that lead to a patch of the draft; beyond the subject's border it is 0.

    A patch of a plain surface is like many others; its neighbours tell which of them it is.

    Args:
        cosine: float (b, n, n), n a square number: draft patches by subject patches.

    Returns:
        (b, n, n); `cosine` itself for radius 0.
    """
    if radius == 0:
        return cosine
    side = _side(cosine.shape[-1])
    total = cosine.unflatten(2, (side, side)).unflatten(1, (side, side))
    for rows, columns in ((1, 3), (2, 4)):  # a square window is one of rows, then one of columns
        total = _joint_sum(total, rows, columns, radius)
    places = torch.arange(side, device=cosine.device)
    reach = (places + radius).clamp(max=side - 1) - (places - radius).clamp(min=0) + 1
    return total.flatten(3, 4).flatten(1, 2) / (reach[:, None] * reach).flatten()[:, None]


def _joint_sum(values: Tensor, first: int, second: int, radius: int) -> Tensor:
    """Sum over equal shifts of up to `radius` along two dimensions of one length; what is beyond the border is 0."""
    length, summed = values.shape[first], values.clone()
    for shift in range(1, min(radius, length - 1) + 1):
        kept = length - shift
        for source, target in ((shift, 0), (0, shift)):
            part = values.narrow(first, source, kept).narrow(second, source, kept)
            summed.narrow(first, target, kept).narrow(second, target, kept).add_(part)
    return summed


def patch_region(mask: np.ndarray, num_patches: int = GRID**2) -> np.ndarray:
    """Bool mask (H, W) to bool (num_patches,), row by row: patches of which the mask covers at least half.

    Raises ValueError where num_patches is not a square number.
    """
    side = _side(num_patches)
    share = F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None], side)
    return (share >= 0.5).flatten().numpy()


def _side(num_patches: int) -> int:
    side = round(num_patches**0.5)
    if side * side != num_patches:
        raise ValueError(f"{num_patches} patches are not a square grid")
    return side
