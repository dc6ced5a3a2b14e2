"""Splits by subject, as a pure function of the subject: whoever exports again, or more, gets the same."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

from toffee_pipeline.errors import ConfigError

NAME = re.compile(r"[a-z]+")


def parse_splits(words: Sequence[str]) -> dict[str, float]:
    """Shares by name, in the order of the names, of words such as "train=0.98". Raises ConfigError."""
    splits: dict[str, float] = {}
    for word in words:
        name, _, share = word.partition("=")
        try:
            splits[name] = float(share)
        except ValueError:
            splits[name] = math.nan
        if not NAME.fullmatch(name) or not 0 < splits[name] <= 1:
            raise ConfigError(f"--split {word}: allowed is NAME=SHARE, a name of small letters and a share in (0, 1]")
    if len(splits) < len(words) or not math.isclose(sum(splits.values()), 1):
        raise ConfigError(f"--split {' '.join(words)}: allowed are different names whose shares add up to 1")
    return dict(sorted(splits.items()))


def split_of(key: str, splits: Mapping[str, float]) -> str:
    """The split of a subject by its `subject_key`: the hash, uniform in [0, 1), falls into one of the shares."""
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    for name, share in splits.items():
        place -= share
        if place < 0:
            return name
    return list(splits)[-1]  # the shares add up to 1 but for rounding
