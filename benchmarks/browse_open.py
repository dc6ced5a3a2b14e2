"""How long `jobs/browse.py` takes to show a run of many pairs, against one of few: from its start to the first page
and all pictures on it, then a page in the middle, one of what few shards have, and the server's peak memory.

The run's shards are one shard again and again, of images of a few bytes. Most of the first page's time is that of any
job's start; CPU seconds are the firm figure on a shared machine.
"""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import pyarrow as pa

from actors.shard_writer import image_struct
from toffee_pipeline.config.load import load_config
from toffee_pipeline.images import encode_mask, encode_png
from toffee_pipeline.plan.plan import Plan
from toffee_pipeline.rundir.counts import ShardCounts, Summary
from toffee_pipeline.rundir.description import GenerationRun
from toffee_pipeline.rundir.layout import DATA, LEDGER, MANIFESTS, RUN, SUMMARY, manifest_key, shard_key
from toffee_pipeline.rundir.manifests import DataFile, Manifest
from toffee_pipeline.rundir.parquet import to_parquet
from toffee_pipeline.schema.pairs import PAIRS

PER_SHARD = 64
RARE = 5000
"""One shard of so many has failed pairs."""
ATTEMPT = "0123456789ab"
PNG, MASK = encode_png(np.full((16, 16, 3), 128, np.uint8)), encode_mask(np.ones((16, 16), np.bool_))


def encoded(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    return to_parquet(pa.Table.from_pylist(rows, schema), PER_SHARD)


def write_run(folder: Path, num_pairs: int, draw: Callable[[], bytes] = lambda: PNG) -> None:
    """A finished run whose pairs were all accepted, but for those of a few shards. draw: makes an image of a shard; not
    the masks."""
    config = load_config("nano", (f"pairs.count={num_pairs}", "subjects_per_shard=16"))
    plan = Plan(config)
    verdict = {"status": "accepted", **dict.fromkeys(score.column for score in PAIRS.scores), "dino_score": 0.9}
    rows = [{**row, **verdict, "stage_s": dict.fromkeys(PAIRS.stages, 0.1)} for row in plan.rows(0)]
    rows = [{name: row.get(name) for name in PAIRS.ledger.names} for row in rows]
    texts = [name for name in PAIRS.data.names if name not in PAIRS.images]
    pictured = [
        {name: image_struct(draw()) for name in PAIRS.images}
        | {"mask": image_struct(MASK)}
        | {name: row.get(name) for name in texts}
        for row in rows
    ]
    failed = [{**row, "status": "failed"} for row in rows]
    whole = {
        (DATA, kind): encoded([row for row in pictured if row["kind"] == kind], PAIRS.data) for kind in PAIRS.files
    }
    contents = [whole | {(LEDGER, "pair"): encoded(rows, PAIRS.ledger)}]
    contents.append({(LEDGER, "pair"): encoded(failed, PAIRS.ledger)})
    for name in (DATA, LEDGER, MANIFESTS):
        (folder / name).mkdir(parents=True)
    (folder / RUN).write_bytes(GenerationRun.of(config, plan, {}).encode())
    for shard in range(len(plan)):
        has_failed = shard % RARE == RARE - 1
        files = []
        for (name, kind), content in contents[has_failed].items():
            key = shard_key(name, kind, shard, ATTEMPT)
            (folder / key).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files.append(DataFile(folder=name, key=key, size_bytes=len(content), num_rows=1, sha256=digest))
        num_failed = len(rows) if has_failed else 0
        counts = ShardCounts(planned=len(rows), accepted=len(rows) - num_failed, failed=num_failed)
        now = datetime.now(UTC)
        manifest = Manifest(shard=shard, attempt=ATTEMPT, committed=now, files=tuple(files), counts=counts)
        (folder / manifest_key(shard)).write_bytes(manifest.encode())
    summary = Summary(shards=len(plan), planned=num_pairs, accepted=num_pairs, elapsed_s=1.0, pairs_per_s=1.0)
    (folder / SUMMARY).write_bytes(summary.encode())


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode(errors="replace")


def measure(folder: Path) -> dict[str, float]:
    """Seconds of each step, and MiB."""
    middle = len(list((folder / MANIFESTS).iterdir())) // 2
    began = time.perf_counter()
    command = [sys.executable, "jobs/browse.py", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().split()[0]
    first = fetch(url)
    opened, used = time.perf_counter(), psutil.Process(server.pid).cpu_times()
    for source in re.findall(r'<img src="/(.*?)"', first):
        fetch(url + source)
    pictured = time.perf_counter()
    fetch(f"{url}?from={middle}")
    turned = time.perf_counter()
    fetch(f"{url}?status=failed")
    found = time.perf_counter()
    peak_kib = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[1])  # type: ignore[index]
    server.send_signal(signal.SIGINT)
    server.wait()
    return {
        "first page s": opened - began,
        "of which CPU s": used.user + used.system,
        "its pictures s": pictured - opened,
        "page in the middle s": turned - pictured,
        "page of what is rare s": found - turned,
        "peak MiB": peak_kib / 1024,
    }


@click.command(help=__doc__)
@click.option("--small", default=10_000, show_default=True, help="Pairs of the reference run.")
@click.option("--large", default=1_000_000, show_default=True, help="Pairs of the large run.")
def main(small: int, large: int) -> None:
    figures = []
    for num_pairs in (small, large):
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder) / "run", num_pairs)
            figures.append(measure(Path(folder) / "run"))
    few, many = figures
    click.echo(f"{'pairs':<26}{small:>12,}{large:>12,}{'ratio':>10}")
    for name in few:
        click.echo(f"{name:<26}{few[name]:>12,.2f}{many[name]:>12,.2f}{many[name] / few[name]:>10.2f}")


if __name__ == "__main__":
    main()
