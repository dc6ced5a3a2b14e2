"""A job that is killed and started again until its run is complete, and a store that is away now and then."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import pyarrow.parquet as pq

from benchmarks.chaos_strikes import strike
from tests.helpers.faulty_s3 import FaultyS3, Rule, error, reset
from toffee_pipeline.rundir.layout import DATA, REJECTED, SUMMARY
from toffee_pipeline.rundir.manifests import committed_shards, read_manifests
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import open_storage

ROOT = Path(__file__).parents[1]
END_S = 120
"""A job whose processes were killed may take so long to notice and to end."""


@dataclass(frozen=True)
class Store:
    """Where runs lie: a folder, or a prefix of S3. endpoint: of the jobs; direct: of who looks on, around the proxy."""

    root: str
    endpoint: str | None = None
    direct: str | None = None


class Job:
    """The command, started as often as it takes. Ray's files, its token and the logs lie below `folder`."""

    def __init__(self, folder: Path, store: Store, stages: str, settings: list[str]) -> None:
        self.output, self.log, home = f"{store.root}/{folder.name}/run", folder / "log", folder / "h"
        for path in (self.log, home):
            path.mkdir(parents=True)
        if store.endpoint:
            settings = [*settings, f"output.endpoint_url={store.endpoint}"]
        words = [word for setting in settings for word in ("--set", setting)]
        self.command = [
            sys.executable,
            "-m",
            "benchmarks.chaos_job",
            str(self.log),
            stages,
            "--output",
            self.output,
            *words,
        ]
        self.env = os.environ | {
            "HOME": str(home),
            "RAY_TMPDIR": str(home),
            "PYTHONPATH": str(ROOT),
            "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # a driver without its GCS gives up sooner
        }
        self.storage = open_storage(self.output, store.direct)
        self.starts = 0
        self.text = folder / "output.txt"

    def start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self.text.open("ab") as text:
            return subprocess.Popen(self.command, env=self.env, stdout=text, stderr=text, start_new_session=True)

    def committed(self) -> dict[int, float]:
        """Shard -> time of its commit."""
        return {manifest.shard: manifest.committed.timestamp() for manifest in read_manifests(self.storage)}

    def complete(self) -> bool:
        return self.storage.exists(SUMMARY)

    def digests(self) -> dict[str, str]:
        """Pair -> hash of its verdict and image bytes; raises where a pair is there twice."""
        found: dict[str, str] = {}
        for key in [file.key for manifest in read_manifests(self.storage) for file in manifest.files]:
            if not key.startswith((f"{DATA}/", f"{REJECTED}/")):
                continue
            for row in pq.read_table(io.BytesIO(self.storage.get(key))).to_pylist():
                images = [(row[column] or {}).get("bytes") or b"" for column in IMAGE_COLUMNS]
                said = f"{row['status']} {row['reason']} {row['prompt']}".encode()
                if row["pair_id"] in found:
                    raise RuntimeError(f"pair {row['pair_id']} is there twice")
                found[row["pair_id"]] = hashlib.sha256(b"\0".join([said, *images])).hexdigest()
        return found

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Waits for the job's end, and ends what is left of it."""
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            click.echo(f"the job did not end within {END_S} s of a kill and is ended", err=True)
        kill_session(process.pid)
        process.wait()


def kill_session(leader: int) -> None:
    """Ends every process of a job's session: what outlives its driver for a moment would disturb the next start."""
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def disturb(job: Job, kills: int, num_shards: int, max_delay_s: float, draw: random.Random) -> list[tuple[float, str]]:
    """Runs the job to its end; (time, kind) of each kill."""
    struck: list[tuple[float, str]] = []
    process = job.start()
    while not job.complete():
        if process.poll() is not None:
            job.end(process)
            process = job.start()
        due = len(struck) < kills and len(committed_shards(job.storage)) * (kills + 2) >= (len(struck) + 1) * num_shards
        if due:
            time.sleep(draw.uniform(0, max_delay_s))
            if hit := strike(process, draw):
                struck.append(hit)
                kind = hit[1]
                click.echo(
                    f"kill {len(struck)}: {kind}, {len(committed_shards(job.storage))} shards committed", err=True
                )
                if kind in ("driver", "raylet", "cluster", "gcs"):
                    job.end(process)
        time.sleep(0.2)
    job.end(process)
    return struck


@contextmanager
def outages(proxy: FaultyS3, longest_s: float, draw: random.Random) -> Iterator[list[float]]:
    """While the context lasts the store is away now and then; seconds of each time."""
    stop, lasted = threading.Event(), list[float]()

    def disturb_store() -> None:
        while not stop.wait(draw.uniform(5, 20)):
            away, seconds = (
                Rule(".", draw.choice([error(503, "SlowDown"), reset]), times=-1),
                draw.uniform(1, longest_s),
            )
            proxy.rules.append(away)
            lasted.append(seconds)
            stop.wait(seconds)
            proxy.rules.remove(away)

    thread = threading.Thread(target=disturb_store, daemon=True)
    thread.start()
    try:
        yield lasted
    finally:
        stop.set()
        thread.join()
