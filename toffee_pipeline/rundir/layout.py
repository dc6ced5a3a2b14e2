"""Where everything lies in a run directory: each name stands here once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from toffee_pipeline.errors import StorageError

LAYOUT_VERSION = 5
"""Of the names below and of the JSON files under them; every JSON file says it. Raise it whenever a name, or what a key
of a JSON file means, changes: what other code wrote is then left alone. A new key with a default needs no new version.
1: none of these files but manifests said a version. 2: run.json counted pairs alone. 3: ledger and rejected rows lay
beside the data under plain names, and tries among what was committed. 4: lists of what a run was given lay in `inputs`,
where readers of whole folders took a list of pairs for rows."""

RUN = "run.json"
SUMMARY = "summary.json"
INDEX, INDEX_MANIFESTS = "_index/ledger.parquet", "_index/manifests.jsonl"
LEASE = "_lease.json"
IMAGES = "_inputs/images.jsonl.gz"
BANK = "_inputs/bank.jsonl.gz"
BENCHMARK = "_inputs/benchmark.jsonl"
PAIR_LIST = "_inputs/pairs.parquet"
FIGURES = "figures.json"
CONTAMINATION = "contamination.json"
COMPILED = "_compiled/"
"""What torch.compile made, where `output.share_compiled` is on. No shard needs it."""
REPORT = "report/index.html"
CARD = "README.md"
DATA, REJECTED, LEDGER = "data", "_rejected", "_ledger"
"""Folders of Parquet files. What is not data has an underscore, which readers of whole folders leave out."""
FOLDERS = (DATA, REJECTED, LEDGER)
SHARD_FILE = re.compile(r"(data|_rejected|_ledger)/([a-z]+)-(\d{6,})-[0-9a-f]+\.parquet")
TRIES = "_tries/"
MANIFESTS = "_manifests/"
MANIFEST = re.compile(MANIFESTS + r"shard-(\d{6,})\.json")
PACK_SHARDS = 256
PACK = re.compile(MANIFESTS + r"pack-(\d{6,})-(\d+)\.jsonl")
"""The manifests of a view, `PACK_SHARDS` to a file, a line each: its number, and how many shards it has."""

CHECKPOINTS = "checkpoints/"
CHECKPOINT = re.compile(CHECKPOINTS + r"step-(\d{8,10})\.json")
CHECKPOINT_FILE = re.compile(CHECKPOINTS + r"step-(\d{8,10})(-\w+)?\.\w+")
"""Of a checkpoint, complete or not."""
MODEL = "model"
TENSORBOARD = "tensorboard"
TRACKING = "tracking.json"


def manifest_key(shard: int) -> str:
    """The key whose existence commits `shard` (an int of at least 0)."""
    if not isinstance(shard, int) or isinstance(shard, bool) or shard < 0:
        raise StorageError(f"shard {shard!r}: allowed is an integer of at least 0")
    return f"{MANIFESTS}shard-{shard:06d}.json"


def pack_key(number: int, num_shards: int) -> str:
    """The key of the manifests of the shards from `number * PACK_SHARDS` on."""
    return f"{MANIFESTS}pack-{number:06d}-{num_shards}.jsonl"


def shard_key(folder: str, rows: str, shard: int, attempt: str) -> str:
    """The key of one attempt's Parquet file in one of `FOLDERS`.

    Args:
        rows: what its rows are, in a word of small letters.
        attempt: hexadecimal digits.
    """
    return f"{folder}/{rows}-{shard:06d}-{attempt}.parquet"


def name_of(key: str) -> tuple[str, str]:
    """The folder of a shard's file, and what its rows are."""
    name = SHARD_FILE.fullmatch(key)
    if name is None:
        raise StorageError(f"{key!r} is no file of a shard")
    return name[1], name[2]


def try_key(key: str) -> str:
    """Where a file of a shard lies until its attempt has won. No pattern for Parquet files finds it there."""
    return f"{TRIES}{key.removesuffix('.parquet')}.part"


def decision_key(shard: int) -> str:
    """The key whose existence decides which attempt at `shard` counts, until its manifest does."""
    return f"{TRIES}shard-{shard:06d}.json"


def compiled_key(stages: Iterable[str], digest: str) -> str:
    """The key of what an actor with these stages compiled. digest: of all that decides whether it fits."""
    return f"{COMPILED}{'-'.join(stages)}-{digest}.bin"


def checkpoint_key(step: int, part: str | None = None) -> str:
    """The key of a checkpoint's tensors of this name; without a name, of the JSON file that completes it."""
    return f"{CHECKPOINTS}step-{step:08d}" + (".json" if part is None else f"-{part}.safetensors")
