"""Whether a catalogue's prompts fit the text encoder, which would silently drop their end: where the change stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from transformers import CLIPTokenizer

from toffee_pipeline.config.base import CATEGORIES, Category, ModelSpec
from toffee_pipeline.errors import CatalogError
from toffee_pipeline.models.tokenizers import clip_tokenizer, nano_tokenizer
from toffee_pipeline.models.weights import config_options, load_pretrained, resolve
from toffee_pipeline.plan.catalog import Catalog, SubjectClass
from toffee_pipeline.plan.worded import MEDIUM, fill


def load_tokenizer(spec: ModelSpec) -> CLIPTokenizer:
    """The tokenizer of SDXL's first text encoder, without any weights; the second one's differs only in its padding.

    Raises OSError where it is neither in the cache nor can be fetched, and as `load_pretrained`.
    """
    if not spec.has_files:
        return clip_tokenizer()
    if spec.weights == "nano":
        return nano_tokenizer()
    return load_pretrained(CLIPTokenizer, resolve(spec, "sdxl"), subfolder="tokenizer", **config_options(spec))


def tokenizer_at_hand(spec: ModelSpec) -> CLIPTokenizer:
    """As `load_tokenizer`, but CLIP's own where that one does not lie on this machine; fetches nothing."""
    local = spec.weights != "pretrained" or (spec.path is not None and (spec.path / "tokenizer").is_dir())
    return load_tokenizer(spec) if local else clip_tokenizer()


def count_tokens(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, its start and end included; `tokenizer.model_max_length` is what the encoder takes."""
    return [len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]


class Lengths(NamedTuple):
    """longest: tokens of the longest prompt. limit: what the text encoder takes. over: the prompts that are longer."""

    longest: int
    limit: int
    over: tuple[str, ...]


def measure(texts: Sequence[str], spec: ModelSpec) -> Lengths:
    """How long the prompts are for the SDXL that `spec` names; without its files as CLIP counts."""
    tokenizer = tokenizer_at_hand(spec)
    counts, limit = count_tokens(tokenizer, texts), tokenizer.model_max_length
    over = tuple(text for text, count in zip(texts, counts, strict=True) if count > limit)
    return Lengths(max(counts), limit, over)


def longest_prompt(catalog: Catalog, tokenizer: CLIPTokenizer) -> tuple[str, int]:
    """The longest prompt that the catalogue can give, and its number of tokens."""
    prompts = [*_subject_prompts(catalog, tokenizer), *_pair_prompts(catalog, tokenizer)]
    counts = count_tokens(tokenizer, prompts)
    longest = max(range(len(prompts)), key=counts.__getitem__)
    return prompts[longest], counts[longest]


def room_for_a_change(catalog: Catalog, tokenizer: CLIPTokenizer) -> int:
    """Tokens that the catalogue's longest subject prompt leaves for a change which is added to it."""
    longest = max(
        count_tokens(tokenizer, [prompt for entry in catalog.classes for prompt in _longest_of(entry, tokenizer)])
    )
    return int(tokenizer.model_max_length) - longest


def check_prompts(catalog: Catalog, spec: ModelSpec, fetch: bool = True) -> tuple[str, ...]:
    """Raises CatalogError where a prompt does not fit the text encoder of the SDXL that `spec` names.

    fetch: the tokenizer, where it is not there; False: counts with the one at hand. Returns lines for the user: that it
    could not be checked, since the tokenizer cannot be fetched.
    """
    try:
        tokenizer = load_tokenizer(spec) if fetch else tokenizer_at_hand(spec)
    except OSError as error:
        return (f"the length of the catalogue's prompts is not checked: {str(error).splitlines()[0]}",)
    prompt, count = longest_prompt(catalog, tokenizer)
    if count > tokenizer.model_max_length:
        raise CatalogError(
            f"subjects.catalog or pairs.prompt_bank: {too_long(prompt, count, tokenizer.model_max_length)}"
        )
    return ()


def too_long(prompt: str, count: int, limit: int) -> str:
    """What is said of a prompt of `count` tokens where the text encoder takes `limit`."""
    return f"a prompt of {count} tokens, but the text encoder takes {limit}: {prompt!r}"


def _subject_prompts(catalog: Catalog, tokenizer: CLIPTokenizer) -> Iterator[str]:
    """The longest of each class and template, and its draft prompts. CLIP's tokens never reach over a space, so that
    the longest words of each slot give it."""
    changes: dict[tuple[str, ...], str] = {}
    for entry in catalog.classes:
        longest_change = {}
        for category in CATEGORIES:
            if possible := catalog.choices(entry.name, category):
                if possible not in changes:  # most classes share theirs
                    changes[possible] = _longest_change(catalog, tokenizer, entry.name, category, possible)
                longest_change[category] = changes[possible]
        for prompt in _longest_of(entry, tokenizer):
            yield prompt
            for category, change in longest_change.items():
                yield catalog.draft_prompt(entry.name, prompt, category, change)
            if "addition" in longest_change:  # a reversed addition removes it
                yield catalog.draft_prompt(entry.name, prompt, "removal", longest_change["addition"])


def _longest_of(entry: SubjectClass, tokenizer: CLIPTokenizer) -> Iterator[str]:
    """The longest subject prompt of each of the class's templates."""
    longest = {slot: _longest(tokenizer, words) for slot, words in entry.descriptions.items()}
    for template in entry.subject_prompts:
        yield fill(template, {"medium": MEDIUM, "class": entry.name, **longest})


def _pair_prompts(catalog: Catalog, tokenizer: CLIPTokenizer) -> Iterator[str]:
    """Of all changes, with the longest class of each nature, and of those that belong to a class with it."""
    for live in (True, False):
        names = [entry.name for entry in catalog.classes if entry.live is live]
        if names:
            name = _longest(tokenizer, names)
            for category in CATEGORIES:
                yield from (catalog.prompt(name, category, change) for change in catalog.choices(name, category))
    for entry in catalog.classes:
        for category in CATEGORIES:
            if category == "removal" or entry.name in catalog.bank.own_classes(category):
                yield from (catalog.prompt(entry.name, category, own) for own in catalog.choices(entry.name, category))


def _longest_change(
    catalog: Catalog, tokenizer: CLIPTokenizer, class_name: str, category: Category, changes: Sequence[str]
) -> str:
    """The one with the longest draft prompt: some bring templates of their own."""
    drafts = [catalog.draft_prompt(class_name, f"{MEDIUM} of {class_name}", category, change) for change in changes]
    counts = count_tokens(tokenizer, drafts)
    return changes[max(range(len(changes)), key=counts.__getitem__)]


def _longest(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> str:
    counts = count_tokens(tokenizer, texts)
    return texts[max(range(len(texts)), key=counts.__getitem__)]
