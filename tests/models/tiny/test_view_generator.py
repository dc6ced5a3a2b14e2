"""The trained nano View Generator shows the subject that it is given, from elsewhere."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from toffee_pipeline.config.load import load_config
from toffee_pipeline.models.dino import DinoEncoder
from toffee_pipeline.models.roles import load_role
from toffee_pipeline.models.scores import DinoScorer
from toffee_pipeline.nano.world_samples import draw_photo
from toffee_pipeline.recipe.measure import drawn

pytestmark = pytest.mark.slow

FIRST_UNSEEN = 900_000
NUM_PHOTOS = 12
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [draw_photo(FIRST_UNSEEN + index).rendering.rgb for index in range(NUM_PHOTOS)]


@pytest.fixture(scope="module")
def views(photos: list[np.ndarray]) -> list[list[np.ndarray]]:
    """A view of each photo, and a second one of the first four."""
    config = load_config("nano")
    tokens = DinoEncoder(config.models.dino, CPU).encode(photos)
    model = load_role("view", config, CPU)
    return [drawn(model.generate(tokens[:num], [], range(first, first + num))) for first, num in ((0, 12), (100, 4))]


def test_a_view_is_more_like_its_subject_than_like_any_other(
    photos: list[np.ndarray], views: list[list[np.ndarray]]
) -> None:
    encode = DinoScorer(load_config("nano").models.filter_dino, CPU).encode
    ours, theirs = (F.normalize(encode(images), dim=1) for images in (views[0], photos))
    similarity = (ours @ theirs.T).numpy()
    assert (similarity.argmax(1) == np.arange(NUM_PHOTOS)).mean() >= 0.75
    assert similarity.diagonal().mean() >= 0.6
    assert similarity[~np.eye(NUM_PHOTOS, dtype=bool)].mean() <= 0.4


def test_colours_come_back(photos: list[np.ndarray], views: list[list[np.ndarray]]) -> None:
    def middles(images: list[np.ndarray]) -> np.ndarray:
        return np.stack([image[20:44, 20:44].reshape(-1, 3).astype(float).mean(0) for image in images])

    distance = np.linalg.norm(middles(views[0])[:, None] - middles(photos)[None], axis=2)
    nearer = (distance.diagonal()[:, None] < distance).sum(1) / (NUM_PHOTOS - 1)  # than to the other photos
    assert np.median(nearer) >= 0.8


def test_a_view_is_no_copy_and_another_seed_is_another_view(
    photos: list[np.ndarray], views: list[list[np.ndarray]]
) -> None:
    def distance(some: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
        return np.abs(np.stack(some).astype(float) - np.stack(others)).mean((1, 2, 3))

    assert distance(photos, views[0]).min() > 8
    assert distance(views[0][:4], views[1]).min() > 8
