"""Tiny guards of the real classes, as folders of safetensors."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    ViTConfig,
    ViTForImageClassification,
)
from transformers import ViTImageProcessor as Processor

from toffee_pipeline.safety.guards import Family

MESSAGES = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<answer>"
NEEDED = "{%% if not %s %%}{{ raise_exception('the template needs %s') }}{%% endif %%}<{{ %s }}>"
CONFIGS: dict[Family, Any] = {
    "qwen3guard": Qwen3Config,
    "llama_guard": LlamaConfig,
    "shieldgemma": Gemma2Config,
    "granite_guardian": GraniteConfig,
}
READ = {"shieldgemma": "guideline", "granite_guardian": "guardian_config.risk_name"}
"""What the chat template of a family reads beside the prompt."""


def save_guard(folder: Path, answer: str | None, family: Family = "qwen3guard") -> Path:
    """A causal language model of the family's class that always gives this answer, however it is sampled; None: with
    random weights, so that it says no words. Its chat template fails without what the family's own reads."""
    tokens = [_in_bytes(answer)] if answer else []
    vocabulary = {token: number for number, token in enumerate([*tokens, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    template = NEEDED % ((READ[family],) * 3) + MESSAGES if family in READ else MESSAGES
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", chat_template=template)
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, **heads}
    ids = {"vocab_size": len(fast), "bos_token_id": None, "eos_token_id": 0 if answer else None, "pad_token_id": None}
    model = AutoModelForCausalLM.from_config(CONFIGS[family](tie_word_embeddings=False, **sizes, **ids))
    if answer:
        _always_say_the_first_token(model)
    fast.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@torch.no_grad()
def _always_say_the_first_token(model: Any) -> None:
    """Every state is the same one, since no layer adds anything to it, and only the first token looks like it."""
    for name, weight in model.named_parameters():
        if "norm" not in name:
            weight.zero_()
    model.get_input_embeddings().weight.fill_(1)
    model.get_output_embeddings().weight[0].fill_(1)


def _in_bytes(text: str) -> str:
    """As a byte-level vocabulary has it."""
    ((word, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return word


def save_classifier(folder: Path, labels: tuple[str, ...] = ("normal", "nsfw")) -> Path:
    """An image classifier with random weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    names = dict(enumerate(labels))
    config = ViTConfig(image_size=32, patch_size=16, id2label=names, label2id={v: k for k, v in names.items()}, **sizes)
    ViTForImageClassification(config).save_pretrained(folder)
    Processor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
