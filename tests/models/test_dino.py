import numpy as np
import pytest
import torch
from torch import Tensor

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.dino import DinoEncoder, mix_tokens, patch_region


def draw(seed: int, n: int = 9) -> Tensor:
    """Tokens with a shared part, so that cosines spread around 0.5."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn((1, 1, 6), generator=torch.Generator().manual_seed(99))
    return shared + torch.randn((2, 1 + n, 6), generator=generator)


def reference(draft: Tensor, subject: Tensor, a: list[float], g: float, allowed_d: Tensor, allowed_s: Tensor) -> Tensor:
    """Eq 2-3 as a plain loop."""
    mixed = draft.clone()
    for b in range(len(draft)):
        for i in range(1, draft.shape[1]):
            cosines = [
                (torch.cosine_similarity(draft[b, i], subject[b, j], dim=0).item(), j)
                for j in range(1, subject.shape[1])
                if allowed_s[b, j - 1]
            ]
            if not cosines or not allowed_d[b, i - 1]:
                continue
            cosine, j = max(cosines)
            if cosine >= g:
                mixed[b, i] = a[b] * subject[b, j] + (1 - a[b]) * draft[b, i]
    return mixed


def test_mix_is_the_papers_equation() -> None:
    draft, subject, everywhere = draw(0), draw(1), torch.ones(2, 9, dtype=torch.bool)
    expected = reference(draft, subject, [0.6, 0.2], 0.6, everywhere, everywhere)
    mixed = mix_tokens(draft, subject, torch.tensor([0.6, 0.2]), 0.6)
    assert torch.allclose(mixed, expected, atol=1e-6)
    changed = (mixed != draft).any(-1)[:, 1:]
    assert changed.any() and not changed.all()


def test_mix_respects_regions_and_an_empty_one_keeps_the_draft() -> None:
    draft, subject = draw(0), draw(1)
    allowed_d = torch.tensor([[True] * 5 + [False] * 4, [True] * 9])
    allowed_s = torch.tensor([[False] * 3 + [True] * 6, [False] * 9])
    expected = reference(draft, subject, [0.6, 0.6], 0.3, allowed_d, allowed_s)
    mixed = mix_tokens(draft, subject, 0.6, 0.3, allowed_d, allowed_s)
    assert torch.allclose(mixed, expected, atol=1e-6)
    assert torch.equal(mixed[0, 6:], draft[0, 6:]) and torch.equal(mixed[1], draft[1])
    assert torch.equal(mix_tokens(draft, subject, 0.6, -1.0, None, allowed_s)[1], draft[1])


def test_mix_at_its_limits() -> None:
    draft, subject = draw(0), draw(1)
    assert torch.equal(mix_tokens(draft, subject, 0.6, 1.01), draft)
    assert torch.equal(mix_tokens(draft, subject, 0.0, -1.0), draft)
    replaced = mix_tokens(draft, subject, 1.0, -1.0)
    assert torch.equal(replaced[:, 0], draft[:, 0])
    assert all((token == subject[0, 1:]).all(-1).any() for token in replaced[0, 1:])


def test_mix_keeps_dtype_and_compares_in_float32() -> None:
    draft, subject = draw(0), draw(1)
    half = mix_tokens(draft.bfloat16(), subject.bfloat16(), 0.6, 0.6)
    full = mix_tokens(draft.bfloat16().float(), subject.bfloat16().float(), 0.6, 0.6)
    assert half.dtype == torch.bfloat16 and torch.equal(half, full.bfloat16())


def test_patch_region_counts_patches_that_are_half_covered() -> None:
    mask = np.zeros((64, 64), bool)
    mask[:4, :4] = True
    mask[4:8, 4:6] = True
    mask[8:12, 8:9] = True
    assert np.flatnonzero(patch_region(mask)).tolist() == [0, 17]
    assert patch_region(mask, 4).shape == (4,)
    with pytest.raises(ValueError, match="square"):
        patch_region(mask, 10)


def test_encoder_sees_the_whole_image_and_no_neighbour(
    config: RunConfig, device: torch.device, images: list[np.ndarray]
) -> None:
    encoder = DinoEncoder(config.models.dino, device)
    tokens = encoder.encode(images)
    assert tokens.shape == (3, 257, 128) and tokens.dtype == torch.float32
    assert torch.allclose(encoder.encode(images[1:2])[0], tokens[1], atol=1e-5)
    assert torch.equal(encoder.encode([images[2], images[1], images[0]])[1], tokens[1])
    large = np.kron(images[0], np.ones((4, 4, 1), np.uint8))
    assert encoder.encode([large]).shape == (1, 257, 128)
