"""The model in a pool of Ray actors, by transformers."""

from __future__ import annotations

import json
from typing import Any

from toffee_pipeline.collector import collector_paused
from toffee_pipeline.config.expand import ExpansionConfig
from toffee_pipeline.models.weights import resolve


def check(config: ExpansionConfig) -> None:
    """Raises FileNotFoundError where a local model is not there."""
    resolve(config.model, "model")


def needs(config: ExpansionConfig) -> dict[str, float]:
    """The pool's, and a CPU that gives it the questions."""
    pool = config.transformers
    return {"CPU": pool.num_actors * pool.num_cpus + 1, "GPU": pool.num_actors * pool.num_gpus}


def answers(config: ExpansionConfig, questions: Any) -> Any:
    """As `actors.answering.backends` says."""
    from ray.data import ActorPoolStrategy

    pool = config.transformers
    return questions.map(
        LocalModel,
        fn_constructor_args=(config,),
        compute=ActorPoolStrategy(size=pool.num_actors),
        num_cpus=pool.num_cpus,
        num_gpus=pool.num_gpus,
    )


class LocalModel:
    """An actor with the model."""

    def __init__(self, config: ExpansionConfig) -> None:
        self._sampling = config.sampling
        with collector_paused():
            import torch

            from toffee_pipeline.models.language_model import LanguageModel
            from toffee_pipeline.models.loading import pick_device

            torch.set_num_threads(max(1, int(config.transformers.num_cpus)))
            device = pick_device(config.device if config.transformers.num_gpus else "cpu")
            self._model = LanguageModel(config.model, device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        text = self._model.answer(json.loads(row["messages"]), self._sampling, row["seed"])
        return {
            "ask": row["ask"],
            "shard": row["shard"],
            "text": text,
            "error": "",
            "revision": self._model.revision or "",
        }
