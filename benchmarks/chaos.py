"""A job whose processes are killed at random, against the same job left alone: same dataset, hardly more work.

The job is `jobs/generate.py` on Ray, placement fused. Kill k comes a random time after k / (kills + 2) of the shards
are committed, and hits one process by SIGKILL, drawn first by its kind and then among its like. An actor is
waited for; where there is none of another kind, the kind is drawn again:

    driver    the job's own process
    actor     one that runs the stages
    worker    another of Ray's workers: it reads, writes, holds the crash record, or idles
    raylet    the node's manager, whose workers go with it
    gcs       the cluster's store
    helper    another process of Ray: dashboard agents, monitors
    cluster   all of them at once

With `--store s3` the run lies on an S3 server (moto, or the one that TOFFEE_TEST_S3_ENDPOINT names) behind a proxy, by
which the store is away at random times among the kills: every request is refused, or every connection broken.

Whenever the job ends before its run is complete it is started again by the same command. At the end:

    digests    of every pair's verdict and image bytes, equal to those of the job left alone
    work       seconds of all micro-batches of all tries, less those of tries that a kill hit, over those of the job
               left alone: 1.05 passes. A try is lost to a kill if it was under way or not yet committed when it came.
               Seconds mean something only where the stages need not share their cores with what a kill makes Ray do:
               by default there is an actor for each two cores. The same in rows of micro-batches, which nothing else
               on the machine disturbs, and in the actors' CPU seconds. With `--stub`, a stage without models that
               sleeps, rows alone count.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import pyarrow.parquet as pq

from benchmarks.chaos_log import Try, read_tries, work
from tests.helpers.faulty_s3 import FaultyS3, Rule, error, faulty_s3, reset
from tests.helpers.s3 import BUCKET, CREDENTIALS, make_bucket, s3_server
from toffee_pipeline.on_ray.session import num_cores
from toffee_pipeline.rundir.layout import DATA, REJECTED, SUMMARY
from toffee_pipeline.rundir.manifests import committed_shards, read_manifests
from toffee_pipeline.schema.pairs import IMAGE_COLUMNS
from toffee_pipeline.storage import open_storage

BAR = 1.05
ROOT = Path(__file__).parents[1]
KINDS = {"driver": 1, "actor": 4, "worker": 2, "raylet": 1, "gcs": 1, "helper": 1, "cluster": 1}
"""How often each is drawn, relative to the others."""
ACTOR_S, WORK_S = 120, 2.0
"""So long a kill of an actor waits for one, and then lets it work, at most."""
END_S = 120
"""A job whose processes were killed may take so long to notice and to end."""


def kind_of(args: str) -> str:
    """What a process of the job is, by its command line."""
    if "raylet/raylet" in args:
        return "raylet"
    if "gcs_server" in args:
        return "gcs"
    if args.startswith("ray::") and not args.endswith("Agent"):
        return "actor" if "AllStages" in args else "worker"
    return "helper"


def processes(driver: int) -> dict[str, list[int]]:
    """Kind -> the job's living processes: the driver's descendants."""
    found = {"driver": [driver]}
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ended since
                found.setdefault(kind_of(" ".join(process.cmdline()).strip()), []).append(process.pid)
    return found


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


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def strike(process: subprocess.Popen[bytes], draw: random.Random) -> tuple[float, str] | None:
    """Kills a random process of the job: when, and its kind; None where nothing was hit."""
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "actor":  # none lives while Ray starts, which is much of the time after a kill
        until = time.monotonic() + ACTOR_S
        while kind not in processes(process.pid):
            if process.poll() is not None or time.monotonic() > until:
                return None
            time.sleep(0.2)
        time.sleep(draw.uniform(0, WORK_S))
    if process.poll() is not None:
        return None
    found, moment = processes(process.pid), time.time()
    if kind == "cluster":
        killed = [kill(pid) for pids in found.values() for pid in pids]
        return (moment, kind) if any(killed) else None
    return (moment, kind) if kind in found and kill(draw.choice(sorted(found[kind]))) else None


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


@click.command(help=__doc__)
@click.option("--kills", default=30, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the kills.")
@click.option("--pairs", default=256, show_default=True, help="In shards of 4.")
@click.option("--max-delay-s", default=8.0, show_default=True, help="Longest wait before a kill that is due.")
@click.option("--store", "kind", type=click.Choice(["local", "s3"]), default="local", show_default=True)
@click.option("--max-outage-s", default=20.0, show_default=True, help="Of the S3 server, longest.")
@click.option("--stub", is_flag=True, help="A stage without models that sleeps, in the place of nano's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the nano profile.")
def main(
    kills: int,
    seed: int,
    pairs: int,
    max_delay_s: float,
    kind: str,
    max_outage_s: float,
    stub: bool,
    overrides: tuple[str, ...],
) -> None:
    num_shards = -(-pairs // 4)
    if num_shards < kills + 2:
        raise click.UsageError(f"{pairs} pairs are {num_shards} shards: too few for {kills} kills")
    actors = max(1, num_cores() // 2)
    own = [f"pairs.count={pairs}", "subjects_per_shard=1", "placement=fused", f"fused.num_actors={actors}", *overrides]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True))
        store, proxy = Store(folder), None
        if kind == "s3":
            os.environ.update(CREDENTIALS)
            server = stack.enter_context(s3_server())
            make_bucket(server)
            proxy = stack.enter_context(faulty_s3(server))
            store = Store(f"s3://{BUCKET}/{Path(folder).name}", proxy.endpoint, server)
        stages = "stub" if stub else "nano"
        alone, job = (Job(Path(folder, name), store, stages, own) for name in "ab")
        began = time.monotonic()
        disturb(alone, 0, num_shards, 0, random.Random(0))
        middle = time.monotonic()
        with ExitStack() as away:
            lasted = away.enter_context(outages(proxy, max_outage_s, random.Random(seed))) if proxy else []
            struck = disturb(job, kills, num_shards, max_delay_s, random.Random(seed))
        elapsed = time.monotonic() - middle
        tries, reference = read_tries(job.log), read_tries(alone.log)
        if proxy:
            click.echo(f"outages of the store: {len(lasted)}, {sum(lasted):.0f} s together")
        click.echo(f"wall time: {middle - began:.0f} s left alone, {elapsed:.0f} s with kills")
        report(alone, job, struck, tries, reference, ["rows"] if stub else ["seconds", "rows"])


def report(
    alone: Job,
    job: Job,
    struck: list[tuple[float, str]],
    tries: list[Try],
    reference: list[Try],
    judged: list[str],
) -> None:
    """The table; exits with 1 where a bar is missed. judged: the units that the bar is for."""
    hit = Counter(kind for _, kind in struck)
    click.echo(f"kills: {len(struck)} ({', '.join(f'{number} {kind}' for kind, number in sorted(hit.items()))})")
    click.echo(f"starts of the job: {job.starts}")
    expected, found = alone.digests(), job.digests()
    equal = sum(found.get(pair) == digest for pair, digest in expected.items())
    click.echo(f"pairs: {len(expected)} left alone, {len(found)} with kills; equal digests: {equal}")
    needed = work(reference, {}, [])
    done = work(tries, job.committed(), [moment for moment, _ in struck])
    click.echo(f"{'':>11}{'alone':>12}{'with kills':>12}{'lost to kills':>15}{'ratio':>8}")
    ratios = {}
    for unit in ("seconds", "cpu_seconds", "rows", "tries"):
        total, lost = getattr(done.total, unit), getattr(done.lost, unit)
        ratios[unit] = (total - lost) / (getattr(needed.total, unit) or 1)
        click.echo(f"{unit:>11}{getattr(needed.total, unit):>12.1f}{total:>12.1f}{lost:>15.1f}{ratios[unit]:>8.3f}")
    click.echo(f"bar: {BAR:.2f}; most tries lost to one kill: {done.most_lost}")
    if found != expected or max(ratios[unit] for unit in judged) > BAR:
        sys.exit(1)


if __name__ == "__main__":
    main()
