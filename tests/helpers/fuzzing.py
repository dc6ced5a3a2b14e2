"""Files of strangers, changed at random, and how long that is tried: a few fixed examples, or FUZZ_SECONDS of them."""

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.helpers.handed_over import vouch_for

NUM_SHARES = 16
"""Of the time: one for each case, and some more for those that start jobs."""
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
MAX_GROWTH_MIB = 1024
TRIES = settings(
    max_examples=10,
    derandomize=not SECONDS,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink what fails would take longer than to read it
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
WEIRD = [
    *(None, True, 0, -1, 10**12, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "NaN", [], {}, [[[]]]),
    *(
        "..",
        "../../outside",
        "/etc/passwd",
        "/dev/zero",
        "file:///",
        "s3://",
        "s3://a/b",
        "never",
        "9999-12-31T23:59:59Z",
    ),
    *(
        "\x1b[2J",
        "[/bold]",
        "\udc00",
        "a\nb",
        "x" * 10_000,
        "%s{0}{__class__}",
        "!!python/object:os.system",
        "0" * 5000,
    ),
]
weird = st.sampled_from(WEIRD)


def places(tree: Any, before: tuple = ()) -> list[tuple]:
    """Of all values in nested lists and mappings."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [before, *(place for key, value in inner for place in places(value, (*before, key)))]


@st.composite
def changed(draw: st.DrawFn, tree: Any) -> Any:
    """The tree with some values replaced, left out, doubled or put deep into lists."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(tree)))
        if not place:
            continue
        parent = tree
        for key in place[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "replace", "drop", "more", "deep"]))
        if action == "replace":
            parent[place[-1]] = draw(weird)
        elif action == "drop":
            del parent[place[-1]]
        elif action == "more" and isinstance(parent, dict):
            parent[draw(st.text(max_size=5))] = draw(weird)
        else:
            for _ in range(draw(st.sampled_from([3, 150]))):
                parent[place[-1]] = [parent[place[-1]]]
    return tree


@st.composite
def garbled(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some of them changed, cut off, or doubled."""
    array = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(array) - 1)))
        action = draw(st.sampled_from(["flip", "flip", "cut", "insert", "repeat"]))
        if action == "flip" and array:
            array[at] ^= draw(st.integers(1, 255))
        elif action == "cut":
            del array[at:]
        elif action == "insert":
            array[at:at] = draw(st.binary(max_size=8))
        else:
            array[at:at] = array[at : at + 64] * draw(st.sampled_from([1, 100]))
    return bytes(array)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bounded(tries: Callable[[], None], shares: int = 1) -> None:
    """Runs them once, and again for as long as this test's shares of the time last, in bounded memory."""
    before, until = peak_mib(), time.monotonic() + SECONDS * shares / NUM_SHARES
    tries()
    while time.monotonic() < until:
        tries()
    assert peak_mib() - before < MAX_GROWTH_MIB


def encoded(tree: Any) -> bytes:
    return json.dumps(tree).encode(errors="surrogatepass")


def odd_value(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Of a column of this type, or none."""
    if pa.types.is_string(kind):
        texts = [value for value in WEIRD if isinstance(value, str) and value.isprintable()]
        return st.sampled_from([None, *texts, "\x1b[2J", "a\nb", "accepted", "rejected", "edit", "p000000001"])
    if pa.types.is_integer(kind):
        return st.sampled_from([None, 0, -1, 1, 10**12, 2**63 - 1, -(2**63)])
    if pa.types.is_floating(kind):
        return st.sampled_from([None, 0.0, -1.0, 1e30, float("nan"), float("inf")])
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: odd_value(field.type) for field in kind}) | st.none()
    return st.binary(max_size=40) | st.none()


@st.composite
def retold(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    """The rows with some values of theirs, rows or columns changed, so that their file is a sound one."""
    rows, columns = table.to_pylist(), list(table.schema)
    for _ in range(draw(st.integers(1, 3))):
        field = draw(st.sampled_from(columns))
        action = draw(st.sampled_from(["cell", "cell", "cell", "column", "drop", "more", "fewer", "bytes"]))
        if action == "cell" and rows:
            draw(st.sampled_from(rows))[field.name] = draw(odd_value(field.type))
        elif action == "column":
            value = draw(odd_value(field.type))
            rows = [{**row, field.name: value} for row in rows]
        elif action == "drop" and len(columns) > 1:
            columns.remove(field)
        elif action == "more":
            rows = rows * 2
        elif action == "fewer":
            rows = rows[1:]
        elif (
            rows and isinstance(image := (row := draw(st.sampled_from(rows)))[field.name], dict) and image.get("bytes")
        ):
            row[field.name] = {**image, "bytes": draw(garbled(image["bytes"]))}
    return pa.Table.from_pylist(rows, pa.schema([field.with_nullable(True) for field in columns]))


def retell(run: Path, name: str, data: st.DataObject) -> None:
    """Changes the rows of a Parquet file of a run, whose manifest vouches for it."""
    pq.write_table(data.draw(retold(pq.read_table(run / name))), run / name)
    vouch_for(run, name)
