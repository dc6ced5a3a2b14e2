"""Seeds by name."""

from __future__ import annotations

import hashlib


def seed_for(name: str, stage: str) -> int:
    """Seed of one sample in one stage: 63 bits of a hash, the same on any machine and in any order of work."""
    return int.from_bytes(hashlib.sha256(f"{name}/{stage}".encode()).digest()[:8], "big") >> 1
