"""What is known of the sample's pairs under each setting, and how it is kept: a Parquet file per setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from toffee_pipeline.config.stages import JudgeConfig
from toffee_pipeline.errors import DamagedFile
from toffee_pipeline.filters import decide
from toffee_pipeline.parquet_file import DAMAGED, MAX_GROUP_BYTES, ParquetFile, read_rows, unsound, with_schema
from toffee_pipeline.rundir.parquet import to_parquet
from toffee_pipeline.schema.pairs import Pair
from toffee_pipeline.storage import Storage

SETTINGS = "settings/"
ROW_GROUP = 256
SIMILARITY = "similarity"
"""The independent one's name among the scores."""
SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("lost", pa.string()),
        pa.field("scores", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("draft", pa.binary()),
        pa.field("target", pa.binary()),
    ]
)


@dataclass(frozen=True)
class PairResult:
    """A pair under one setting.

    key: what it feels of the setting (`knobs.key_of`). lost: why it has no scores. scores: by the names of
    `filters.SCORES`, and SIMILARITY. draft, target: image files, small, of the pairs that contact sheets show.
    """

    pair_id: str
    key: str
    lost: str | None
    scores: dict[str, float]
    draft: bytes | None
    target: bytes | None


def write_results(storage: Storage, name: str, results: Iterable[PairResult]) -> None:
    """Keeps what was computed for the setting of this name; until then nothing of it counts."""
    table = pa.Table.from_pylist([asdict(each) for each in results], schema=SCHEMA)
    storage.put(f"{SETTINGS}{name}.parquet", to_parquet(table, ROW_GROUP))


def read_results(storage: Storage) -> Iterator[PairResult]:
    """All that earlier starts computed. Raises DamagedFile."""
    for key, _ in storage.list(SETTINGS):
        data = storage.map(key)
        try:
            found = read_rows(ParquetFile(data), SCHEMA.names, max_row_bytes=MAX_GROUP_BYTES)
            rows = with_schema(found, SCHEMA).to_pylist(maps_as_pydicts="strict")
        except DAMAGED as error:
            line = f"{storage.path_for(key)}: {unsound(error)}; without it its setting is computed again"
            raise DamagedFile(line) from error
        yield from (PairResult(**row) for row in rows)


def verdicts(pairs: Sequence[Pair], results: Mapping[str, PairResult], judge: JudgeConfig) -> dict[str, bool]:
    """By id whether a pair is accepted. A pair that turns another one round needs that one to be accepted too."""
    kept = {
        pair.pair_id: results[pair.pair_id].lost is None
        and decide(results[pair.pair_id].scores, judge, pair.kind) is None
        for pair in pairs
    }
    return {
        pair.pair_id: kept[pair.pair_id] and (pair.reversed_from is None or kept[pair.reversed_from]) for pair in pairs
    }
