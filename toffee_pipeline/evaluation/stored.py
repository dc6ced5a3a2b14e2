"""Real against real of the nano encoders on the nano DreamBench, stored beside their weights."""

from __future__ import annotations

import json

from toffee_pipeline.config.evaluate import EvaluationConfig
from toffee_pipeline.models.weights import NANO_WEIGHTS, describe_weights

STORED = NANO_WEIGHTS / "real_pictures.json"


def stored_real(config: EvaluationConfig) -> tuple[dict[str, float] | None, str]:
    """As `conclude.expected_real`. The figures hold for the encoders that they were measured with alone."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    if stored["encoders"] != encoders(config):
        return None, "no figures are stored for these encoders"
    return stored["figures"], "stored with the nano encoders"


def encoders(config: EvaluationConfig) -> dict[str, str]:
    """Who decides what real against real gives."""
    models = config.models
    specs = {"filter_dino": (models.filter_dino, "filter_dino"), "clip": (models.clip, "filter_clip")}
    if models.detector is not None and models.segmenter is not None:
        specs |= {"detector": (models.detector, "detector"), "segmenter": (models.segmenter, "segmenter")}
    return {name: describe_weights(spec, network) for name, (spec, network) in specs.items()}
