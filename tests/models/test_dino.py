from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from toffee_pipeline.config.generate import RunConfig
from toffee_pipeline.models.dino import DinoEncoder, mix_tokens, neighborhood_mean, patch_region


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


@pytest.mark.parametrize("radius", [0, 1, 2, 7])
def test_a_neighborhood_is_its_mean_over_offsets_within_the_draft(radius: int) -> None:
    side = 4
    cosine = torch.rand((2, side**2, side**2), generator=torch.Generator().manual_seed(0))
    found = neighborhood_mean(cosine, radius)
    offsets = range(-radius, radius + 1)
    for i in range(side**2):
        for j in range(side**2):
            terms = []
            for y, x in product(offsets, offsets):
                inside = [0 <= k // side + y < side and 0 <= k % side + x < side for k in (i, j)]
                if inside[0]:
                    shift = y * side + x
                    terms.append(cosine[:, i + shift, j + shift] if inside[1] else torch.zeros(2))
            expected = torch.stack(terms).mean(0)
            assert torch.allclose(found[:, i, j], expected, atol=1e-6)


def test_neighbors_tell_which_of_equal_patches_is_meant() -> None:
    """A plain surface with one spot: by itself a plain patch is like any other, beside the spot it is one of few."""
    plain, spot = torch.tensor([1.0, 0.0, 0.3]), torch.tensor([0.0, 1.0, 0.3])
    subject = plain.repeat(1, 17, 1)
    subject[0, 1 + 5] = spot
    draft = subject.clone()
    marked = torch.cat([subject, torch.arange(17.0)[None, :, None] * 1e-3], -1)  # so that each match can be told
    taken = mix_tokens(torch.cat([draft, torch.zeros(1, 17, 1)], -1), marked, 1.0, 0.5, matching_radius=1)
    around = [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert torch.equal(taken[0, 1:][around], marked[0, 1:][around])
    loose = mix_tokens(torch.cat([draft, torch.zeros(1, 17, 1)], -1), marked, 1.0, 0.5)
    assert not torch.equal(loose[0, 1:][around], marked[0, 1:][around])


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


def test_only_patches_inside_the_masks_receive_and_give(
    config: RunConfig, device: torch.device, images: list[np.ndarray]
) -> None:
    """Each draft has a mask of its own, in a layout that need not be its subject's."""
    encoder = DinoEncoder(config.models.dino, device)
    drafts, subjects = encoder.encode(images[:2]), encoder.encode(images[1:])
    left = np.zeros((64, 64), bool)
    left[:, :32] = True
    receive, give = [left, ~left], [left.T, left.T]
    mixed = encoder.encode_mixed(images[:2], list(subjects.numpy()), [1.0, 1.0], -1.0, receive, give)
    for index in range(2):
        inside = torch.from_numpy(patch_region(receive[index]))
        given = subjects[index, 1:][torch.from_numpy(patch_region(give[index]))]
        assert torch.equal(mixed[index, 1:][~inside], drafts[index, 1:][~inside])
        assert all((token == given).all(-1).any() for token in mixed[index, 1:][inside])
    assert not torch.equal(mixed, encoder.encode_mixed(images[:2], list(subjects.numpy()), [1.0, 1.0], -1.0))


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
