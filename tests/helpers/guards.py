"""Tiny guards of the real classes, as folders of safetensors."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, ViTConfig, ViTForImageClassification
from transformers import ViTImageProcessor as Processor

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<answer>"


def save_guard(folder: Path, answer: str | None) -> Path:
    """A causal language model that always gives this answer; None: with random weights, so that it says no words."""
    tokens = [_in_bytes(answer)] if answer else []
    vocabulary = {token: number for number, token in enumerate([*tokens, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", chat_template=TEMPLATE)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    config = Qwen3Config(vocab_size=len(fast), num_attention_heads=2, num_key_value_heads=1, eos_token_id=None, **sizes)
    model = Qwen3ForCausalLM(config)
    if answer:
        torch.nn.init.zeros_(model.lm_head.weight)  # all tokens are alike then, and the first one is taken
    fast.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


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
