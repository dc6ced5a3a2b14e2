"""A language model that answers a chat, by transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from toffee_pipeline.config.base import ModelSpec
from toffee_pipeline.config.expand import TextSamplingConfig
from toffee_pipeline.models.loading import load_model
from toffee_pipeline.models.weights import hub_options, load_pretrained, resolve, weights_hash


class LanguageModel:
    """A causal language model and its tokenizer on one device.

    Args:
        spec: a hub id, or a folder in transformers' form.
    """

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.model = load_model(AutoModelForCausalLM, spec, "language_model", device)
        self.tokenizer = load_pretrained(AutoTokenizer, resolve(spec, "language_model"), **hub_options(spec))
        self.revision: str | None = (
            weights_hash(spec, "language_model") if spec.path else getattr(self.model.config, "_commit_hash", None)
        )
        """The commit of a hub id; of a folder the start of its hash."""

    def answer(self, messages: Sequence[Mapping[str, str]], sampling: TextSamplingConfig, seed: int) -> str:
        """The model's text after the chat. The same seed gives the same text on the same machine.

        A tokenizer without a chat template sees the messages as paragraphs.
        """
        inputs = self.tokenizer(self._prompt(messages), return_tensors="pt", add_special_tokens=False)
        ids = inputs.input_ids.to(self.model.device)
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            generated = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_new_tokens=sampling.max_new_tokens,
                pad_token_id=self.tokenizer.eos_token_id,
            )
        text: str = self.tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True)
        return text

    def _prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        if self.tokenizer.chat_template is None:
            return "".join(f"{message['content']}\n\n" for message in messages)
        prompt: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return prompt
