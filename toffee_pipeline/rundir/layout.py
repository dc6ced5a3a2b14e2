"""Where everything lies in a run directory: each name stands here once."""

from __future__ import annotations

import re

from toffee_pipeline.errors import StorageError

LAYOUT_VERSION = 3
"""Of the names below and of the JSON files under them; every JSON file says it. Raise it whenever a name, or what a key
of a JSON file means, changes: what other code wrote is then left alone. A new key with a default needs no new version.
1: none of these files but manifests said a version. 2: run.json counted pairs alone."""

RUN = "run.json"
SUMMARY = "summary.json"
LEASE = "_lease.json"
IMAGES = "inputs/images.jsonl.gz"
BANK = "inputs/bank.jsonl.gz"
BENCHMARK = "inputs/benchmark.jsonl"
FIGURES = "figures.json"
CONTAMINATION = "contamination.json"
REPORT = "report/index.html"
DATA_FOLDERS = ("data", "rejected", "ledger")
SHARD_FILE = re.compile(r"(data|rejected|ledger)/shard-(\d{6,})-[0-9a-f]+\.parquet")
MANIFESTS = "_manifests/"
MANIFEST = re.compile(MANIFESTS + r"shard-(\d{6,})\.json")

CHECKPOINTS = "checkpoints/"
CHECKPOINT = re.compile(CHECKPOINTS + r"step-(\d{8,})\.json")
MODEL = "model"
TENSORBOARD = "tensorboard"
TRACKING = "tracking.json"


def manifest_key(shard: int) -> str:
    """The key whose existence commits `shard` (an int of at least 0)."""
    if not isinstance(shard, int) or isinstance(shard, bool) or shard < 0:
        raise StorageError(f"shard {shard!r}: allowed is an integer of at least 0")
    return f"{MANIFESTS}shard-{shard:06d}.json"


def shard_key(folder: str, shard: int, attempt: str) -> str:
    """The key of one attempt's Parquet file in one of `DATA_FOLDERS`; attempt: hexadecimal digits."""
    return f"{folder}/shard-{shard:06d}-{attempt}.parquet"


def checkpoint_key(step: int, part: str | None = None) -> str:
    """The key of a checkpoint's tensors of this name; without a name, of the JSON file that completes it."""
    return f"{CHECKPOINTS}step-{step:08d}" + (".json" if part is None else f"-{part}.safetensors")
