"""A tiny causal language model in a folder, with seeded random weights: it writes junk."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from toffee_pipeline.models.tokenizers import nano_tokenizer

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


def write_language_model(folder: Path, chat_template: bool = True) -> None:
    """With the small world's tokenizer; with or without a chat template."""
    tokenizer = nano_tokenizer()
    tokenizer.chat_template = TEMPLATE if chat_template else None
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
