"""The guards of prompts and images, as tiny models of their own classes."""

import numpy as np
import pytest
from transformers import Gemma2ForCausalLM, GraniteForCausalLM, LlamaForCausalLM, Qwen3ForCausalLM

from tests.helpers.guards import save_classifier, save_guard
from toffee_pipeline.config.safety import PromptGuardSpec, SafetensorsSpec
from toffee_pipeline.config.stages import CheckImagesConfig
from toffee_pipeline.errors import ConfigError, SampleError
from toffee_pipeline.models.image_safety import ImageSafety
from toffee_pipeline.models.prompt_guard import PromptGuard
from toffee_pipeline.safety.guards import GUARDS, Verdict

CLASSES = {
    "qwen3guard": Qwen3ForCausalLM,
    "llama_guard": LlamaForCausalLM,
    "shieldgemma": Gemma2ForCausalLM,
    "granite_guardian": GraniteForCausalLM,
}
"""Those of the models that the families name by default."""
PROMPTS = ["a teapot", "a photo of a small red teapot on a wooden table"]


@pytest.mark.parametrize(
    ("family", "answer", "verdict"),
    [
        ("qwen3guard", "Safety: Unsafe\nCategories: Violent", Verdict("unsafe", ("Violent",))),
        ("llama_guard", "\n\nunsafe\nS1,S10", Verdict("unsafe", ("S1", "S10"))),
        ("shieldgemma", "No", Verdict("safe")),
        ("granite_guardian", "Yes\n<confidence> High </confidence>", Verdict("unsafe")),
    ],
)
def test_a_guard_answers_each_prompt_in_its_familys_words(family, answer, verdict, tmp_path, device):
    """Its chat template is told what the family judges by: without that it would fail."""
    guard = PromptGuard(PromptGuardSpec(path=save_guard(tmp_path, answer, family), family=family), device)
    assert isinstance(guard.model, CLASSES[family])
    assert guard.judge(PROMPTS) == [verdict] * 2


@pytest.mark.parametrize("family", GUARDS)
def test_an_answer_that_is_no_verdict_fails_its_prompt_alone(family, tmp_path, device):
    guard = PromptGuard(PromptGuardSpec(path=save_guard(tmp_path, None, family), family=family), device)
    verdicts = guard.judge(PROMPTS)
    assert [type(verdict) for verdict in verdicts] == [SampleError] * 2
    assert "no verdict" in str(verdicts[0])


def test_a_guard_without_an_id_is_the_familys_own():
    assert PromptGuardSpec().id == "Qwen/Qwen3Guard-Gen-0.6B"
    assert PromptGuardSpec(family="shieldgemma").id == "google/shieldgemma-2b"
    assert PromptGuardSpec(id="Qwen/Qwen3Guard-Gen-4B").id == "Qwen/Qwen3Guard-Gen-4B"


def test_weights_that_would_be_unpickled_are_refused(tmp_path, device):
    folder = save_guard(tmp_path, "Yes")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        PromptGuard(PromptGuardSpec(path=folder), device)


def test_a_classifier_sums_what_its_unsafe_labels_get(tmp_path, device):
    spec = SafetensorsSpec(path=save_classifier(tmp_path, ("drawing", "nsfw", "gore")))
    images = [np.full((48, 40, 3), level, np.uint8) for level in (10, 200)]
    parts = [
        ImageSafety(spec, CheckImagesConfig(unsafe_labels=labels), device).score(images)
        for labels in (("nsfw",), ("gore",), ("nsfw", "gore"), ("drawing", "nsfw", "gore"))
    ]
    np.testing.assert_allclose(np.add(parts[0], parts[1]), parts[2], atol=1e-5)
    np.testing.assert_allclose(parts[3], 1, atol=1e-5)
    assert parts[0][0] != parts[0][1]


def test_a_label_that_the_classifier_lacks_is_named(tmp_path, device):
    spec = SafetensorsSpec(path=save_classifier(tmp_path))
    with pytest.raises(ConfigError, match="no 'porn'; allowed are normal, nsfw"):
        ImageSafety(spec, CheckImagesConfig(unsafe_labels=("nsfw", "porn")), device)
