"""Phrases that say nearly the same, found by MinHash in the time of a look-up."""

from __future__ import annotations

import re

from rensa import RMinHash, RMinHashLSH

NUM_PERM = 128
NUM_BANDS = 64
"""Bands of two: a pair that has half of its triples in common is a candidate with a probability of 1 - 1e-8."""
SEED = 0
NO_WORD = re.compile(r"[^a-z0-9]+")
ARTICLES = {"a", "an", "the"}


def triples(phrase: str) -> frozenset[str]:
    """Letter triples of a phrase, whose case, punctuation and articles do not count: short phrases that differ in an
    ending or an adjective have most of them in common."""
    words = [word for word in NO_WORD.split(phrase.lower()) if word and word not in ARTICLES]
    text = f" {' '.join(words)} "
    return frozenset(text[start : start + 3] for start in range(len(text) - 2))


class NearDuplicates:
    """Phrases, and which of them a new one repeats.

    max_similarity: the largest share of triples that two phrases may have in common (Jaccard).
    """

    def __init__(self, max_similarity: float) -> None:
        self._max_similarity = max_similarity
        self._index = RMinHashLSH(threshold=max_similarity, num_perm=NUM_PERM, num_bands=NUM_BANDS)
        self._phrases: list[tuple[str, frozenset[str]]] = []

    def add(self, phrase: str) -> None:
        """Takes a phrase, whatever it repeats."""
        found = triples(phrase)
        self._index.insert(len(self._phrases), _min_hash(found))
        self._phrases.append((phrase, found))

    def of(self, phrase: str) -> str | None:
        """The phrase that this one repeats most closely; None of one that is new."""
        mine = triples(phrase)
        candidates = [self._phrases[number] for number in sorted(self._index.query(_min_hash(mine)))]
        similar = [(len(mine & theirs) / len(mine | theirs), known) for known, theirs in candidates]
        closest, known = max(similar, key=lambda pair: pair[0], default=(0.0, ""))
        return known if closest > self._max_similarity else None


def _min_hash(found: frozenset[str]) -> RMinHash:
    min_hash = RMinHash(num_perm=NUM_PERM, seed=SEED)
    min_hash.update(sorted(found))
    return min_hash
