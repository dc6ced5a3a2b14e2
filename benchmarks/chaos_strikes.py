"""A job's processes by their kind, and SIGKILL for one of them, drawn at random."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil

KINDS = {"driver": 1, "actor": 4, "worker": 2, "raylet": 1, "gcs": 1, "helper": 1, "cluster": 1}
"""How often each is drawn, relative to the others."""
ACTOR_S, WORK_S = 120, 2.0
"""So long a kill of an actor waits for one, and then lets it work, at most."""


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
