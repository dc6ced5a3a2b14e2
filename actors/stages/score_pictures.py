"""Scores of an evaluation's pictures, each against the real ones of its subject."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from actors.pictures import PictureShard, PictureState
from actors.stage import Stage
from actors.stages.segment_pictures import same_size
from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.evaluation import similarity
from toffee_pipeline.images import black_out

Embeddings = dict[str, np.ndarray]
"""By "dino", "clip_i", "seg_dino", "seg_clip_i" (the cut-out's; NaN without one), "text": float32 (c,)."""
Seen = tuple[np.ndarray, np.ndarray | None, str]
"""A picture, its subject's mask and its prompt."""
IMAGE_METRICS = ("dino", "clip_i", "seg_dino", "seg_clip_i")


class ScorePictures(Stage[PictureShard]):
    name = "score"
    roles = ("clip_scorer", "dino_scorer")
    config: EvaluationConfig

    def process(self, shard: PictureShard) -> None:
        found: dict[str, Embeddings] = {}

        def store(state: PictureState, embeddings: Embeddings) -> None:
            found[state.id] = embeddings

        self.run(shard.open_pictures(), self._embed, store, _seen)
        shard.spread_failures()
        for real, drawn in shard.open_subjects():
            known = {name: np.stack([found[state.id][name] for state in real]) for name in IMAGE_METRICS}
            for row, state in enumerate(real):
                state.scores = _finite(
                    {f"{name}_toffee": similarity.toffee_of_real(known[name])[row] for name in IMAGE_METRICS}
                    | {f"{name}_single": similarity.single_of_real(known[name])[row] for name in IMAGE_METRICS}
                )
            for state in drawn:
                mine = {name: vector[None] for name, vector in found[state.id].items()}
                state.scores = _finite(
                    {f"{name}_toffee": similarity.toffee(mine[name], known[name])[0] for name in IMAGE_METRICS}
                    | {f"{name}_single": similarity.single(mine[name], known[name])[0] for name in IMAGE_METRICS}
                    | {
                        "clip_t": similarity.paired(mine["clip_i"], mine["text"])[0],
                        "copy_paste": similarity.copy_paste(mine["dino"], known["dino"])[0],
                    }
                )
            for state in (*real, *drawn):
                state.status = "accepted"

    def _embed(self, batch: list[Seen]) -> list[Embeddings | SampleError]:
        dino, clip = self.models.dino_scorer, self.models.clip_scorer
        images, masks, prompts = zip(*batch, strict=True)
        columns: dict[str, Sequence[np.ndarray]] = {
            "dino": _encode(dino.encode, images),
            "clip_i": _encode(clip.encode_images, images),
            "text": list(_array(clip.encode_texts(prompts))),
        }
        if self.config.models.detector is not None:
            # a picture without a cut-out is encoded as it is, so that its neighbours keep their bits
            pairs = zip(images, masks, strict=True)
            cut_outs = [image if mask is None else black_out(image, ~mask) for image, mask in pairs]
            columns |= {"seg_dino": _encode(dino.encode, cut_outs), "seg_clip_i": _encode(clip.encode_images, cut_outs)}
        embeddings: list[Embeddings | SampleError] = []
        for row, mask in enumerate(masks):
            one = {name: column[row] for name, column in columns.items()}
            if not all(np.isfinite(vector).all() for vector in one.values()):
                embeddings.append(SampleError("an encoder's output is not finite"))
                continue
            if mask is None:
                one |= {f"seg_{name}": np.full_like(one[name], np.nan) for name in ("dino", "clip_i")}
            embeddings.append(one)
        return embeddings


def _seen(state: PictureState) -> Seen:
    return state.rgb(), state.bool_mask(), state.picture.prompt or ""


def _encode(encode: Callable[[Sequence[np.ndarray]], Any], images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """float32 (c,) each; images of several sizes go by size."""
    vectors: list[np.ndarray] = [np.empty(0)] * len(images)
    for indices in same_size(images):
        for index, vector in zip(indices, _array(encode([images[index] for index in indices])), strict=True):
            vectors[index] = vector
    return vectors


def _array(tensor: Any) -> np.ndarray:
    return tensor.cpu().numpy()


def _finite(scores: dict[str, float]) -> dict[str, float]:
    """Without those that have nothing to compare with."""
    return {name: float(value) for name, value in scores.items() if math.isfinite(value)}
