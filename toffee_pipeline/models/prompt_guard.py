"""A guard model that judges prompts: a causal language model, asked by its chat template."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from toffee_pipeline.config.safety import PromptGuardSpec
from toffee_pipeline.errors import SampleError
from toffee_pipeline.models.loading import dtype_of
from toffee_pipeline.models.weights import config_options, hub_options, load_pretrained, resolve
from toffee_pipeline.safety.guards import GUARDS, Verdict


class PromptGuard:
    """Any guard of the families of `safety.guards`; its weights are safetensors, and code of its own is never run."""

    def __init__(self, spec: PromptGuardSpec, device: torch.device) -> None:
        self.guard, self.device = GUARDS[spec.family], device
        source = resolve(spec, "prompt_guard")
        self.tokenizer = load_pretrained(AutoTokenizer, source, padding_side="left", **config_options(spec))
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        model = load_pretrained(
            AutoModelForCausalLM, source, dtype=dtype_of(spec), use_safetensors=True, **hub_options(spec)
        )
        self.model = model.eval().to(device)

    @torch.inference_mode()
    def judge(self, prompts: Sequence[str]) -> list[Verdict | SampleError]:
        """Element i is of prompts[i]; a SampleError where the answer is no verdict."""
        inputs = self.tokenizer.apply_chat_template(
            [[{"role": "user", "content": prompt}] for prompt in prompts],
            add_generation_prompt=True,
            padding=True,
            return_dict=True,
            return_tensors="pt",
            **self.guard.template,
        ).to(self.device)
        tokens = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=self.guard.max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        answers = self.tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [
            self.guard.read(answer) or SampleError(f"the guard's answer is no verdict: {answer[:80]!r}")
            for answer in answers
        ]
