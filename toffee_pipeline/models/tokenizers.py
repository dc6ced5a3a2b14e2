"""CLIP's tokenizers, in transformers' class. Needs neither torch nor open_clip: a job's driver counts tokens, too."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from toffee_pipeline.models.weights import NANO_WEIGHTS

CONTEXT_LENGTH = 24
"""Ids of a caption in the small world."""
NUM_MERGES = 49_152 - 256 - 2
"""That open_clip reads of a file, however many it holds."""


@cache
def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own, of 77 ids, from the vocabulary that open_clip ships."""
    package = find_spec("open_clip")  # its import takes seconds
    assert package is not None and package.origin is not None
    return read_tokenizer(Path(package.origin).with_name("bpe_simple_vocab_16e6.txt.gz"), 77)


def nano_tokenizer() -> CLIPTokenizer:
    """The small world's own vocabulary, 24 ids a caption."""
    return read_tokenizer(NANO_WEIGHTS / "clip" / "bpe.txt.gz", CONTEXT_LENGTH)


def read_tokenizer(path: Path, context_length: int) -> CLIPTokenizer:
    """The tokenizer of a file of byte-pair merges, one a line after a header: gives the ids that open_clip's
    `SimpleTokenizer` gives, but pads with the end token."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        merges = [tuple(line.split()) for line in lines.read().split("\n")[1 : NUM_MERGES + 1]]
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    vocab = {token: index for index, token in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    pairs = [merge for merge in dict.fromkeys(merges) if len(merge) == 2]
    return CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=context_length)
