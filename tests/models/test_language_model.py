"""A language model answers a chat, the same seed the same, and names its weights."""

import pytest
import torch

from tests.helpers.tiny_language_model import write_language_model
from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.expand import TextSamplingConfig
from toffee_pipeline.models.language_model import LanguageModel

MESSAGES = ({"role": "system", "content": "write"}, {"role": "user", "content": "a place on a beach"})
SAMPLING = TextSamplingConfig(max_new_tokens=24)


@pytest.mark.parametrize("chat_template", [True, False])
def test_a_seed_is_an_answer(tmp_path, chat_template):
    write_language_model(tmp_path, chat_template)
    model = LanguageModel(ModelSpec(path=tmp_path), torch.device("cpu"))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    answers = [model.answer(MESSAGES, SAMPLING, seed) for seed in (1, 2, 1)]
    assert answers[0] == answers[2] != answers[1]
    assert torch.equal(torch.random.get_rng_state(), before)
    one_token = model.answer(MESSAGES, TextSamplingConfig(max_new_tokens=1), 1)
    assert answers[0].startswith(one_token.strip()) and len(one_token) < len(answers[0])


def test_the_revision_of_a_folder_is_its_hash(tmp_path):
    write_language_model(tmp_path / "a")
    write_language_model(tmp_path / "b")
    revisions = [LanguageModel(ModelSpec(path=tmp_path / name), torch.device("cpu")).revision for name in "ab"]
    assert revisions[0] == revisions[1] and len(revisions[0]) == 16
