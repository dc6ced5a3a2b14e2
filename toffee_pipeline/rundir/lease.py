"""The lease of a run directory: one driver at a time.

It spares work and guards nothing: the manifests' conditional put alone decides what is committed. Two drivers that hold
the lease for a moment (clocks apart, one frozen past its end) cost computing time and no data.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import AwareDatetime, Field

from toffee_pipeline.config.base import LeaseSeconds
from toffee_pipeline.errors import DamagedFile, LeaseHeld, MissingKey, OtherVersion
from toffee_pipeline.rundir.layout import LEASE
from toffee_pipeline.rundir.run_file import MAX_SMALL_BYTES, RunFile, decode
from toffee_pipeline.storage import Storage

LEASE_S = 60.0
RENEWALS = 4
"""Renewals in the time of one lease: three may fail before it ends."""
POLL_S = 0.5
MAX_AHEAD = timedelta(days=1)
"""By how much another machine's clock may be ahead of this one's."""


class LeaseRecord(RunFile):
    """Who drives the run, or was the last to. since: when that driver started; until: its lease ends then, unless it is
    renewed, and with `released` it has ended."""

    host: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    machine: str | None
    """What the process number belongs to: a boot of a kernel, and its process namespace. None: not known."""
    token: str
    since: AwareDatetime
    until: AwareDatetime
    lease_s: LeaseSeconds
    released: bool

    def __str__(self) -> str:
        since, until = (moment.isoformat(timespec="seconds") for moment in (self.since, self.until))
        return f"process {self.pid} on {self.host} (since {since}, lease until {until})"


class Lease:
    """Held inside a `with` block and renewed by a thread; released at its end, also when that is an error.

    Args:
        lease_s: seconds after which the lease of a driver that died ends by itself, up to `MAX_LEASE_S`; 0 takes none.
        say: gets one line when there is something to wait for, or trouble with renewing.
        renew_s: seconds between renewals; None: `lease_s` / `RENEWALS`.

    Raises:
        LeaseHeld: on entry, when another driver is alive. One that may be dead is waited for, at most its `lease_s`:
            it renews the lease, and is alive, or the lease ends, and is taken over. One that died on this machine is
            seen at once.
        OSError: the store failed, or the lease's file is damaged (`DamagedFile`).
    """

    def __init__(
        self,
        storage: Storage,
        lease_s: float = LEASE_S,
        say: Callable[[str], None] = print,
        renew_s: float | None = None,
    ) -> None:
        self._storage, self._lease_s, self._say = storage, lease_s, say
        self._renew_s = lease_s / RENEWALS if renew_s is None else renew_s
        self._token, self._since = secrets.token_hex(8), _now()
        self._stop = threading.Event()
        self._lost: str | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lease:
        if self._lease_s > 0:
            self._take()
            self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        try:
            if self._lost is None:
                self._renew(released=True)
        except (OSError, OtherVersion) as error:  # what ended the block matters more
            self._say(f"the lease was not released and ends in {self._lease_s:.0f} s: {error}")

    def check(self) -> None:
        """Raises LeaseHeld when another driver has taken the lease over; call it from time to time."""
        if self._lost is not None:
            raise LeaseHeld(
                f"{self._storage.uri}: another driver took over, {self._lost}, since this one had not renewed its "
                "lease in time; this one stops, what it committed stays"
            )

    def _take(self) -> None:
        mine = self._record()
        if self._storage.put_if_absent(LEASE, mine):
            return
        seen = self._storage.get(LEASE, MAX_SMALL_BYTES)
        holder = _parse(self._storage, seen)
        if holder.token == self._token:  # a put repeated after a lost answer finds its own record
            return
        left_s = min((holder.until - _now()).total_seconds(), holder.lease_s)
        if not holder.released:
            if _died_here(holder):
                self._say(f"{self._storage.uri}: taking over from {holder}, which runs no more")
            elif left_s <= 0:
                self._say(f"{self._storage.uri}: taking over from {holder}: its lease has ended")
            else:
                self._say(
                    f"{self._storage.uri} is held by {holder}; waiting up to {left_s:.0f} s, "
                    "until it renews its lease or the lease ends"
                )
                seen = self._watch(seen, left_s)
        if not self._storage.compare_and_swap(LEASE, seen, mine):
            holder = _parse(self._storage, self._storage.get(LEASE, MAX_SMALL_BYTES))
            if holder.token != self._token:
                raise LeaseHeld(self._refusal(holder))

    def _watch(self, seen: bytes, left_s: float) -> bytes:
        """Waits until the lease has ended, and returns the record to replace; raises LeaseHeld if it is renewed."""
        end = time.monotonic() + left_s
        while time.monotonic() < end:
            time.sleep(min(POLL_S, left_s))
            now = self._storage.get(LEASE, MAX_SMALL_BYTES)
            if now != seen:
                holder = _parse(self._storage, now)
                if holder.released:
                    return now
                raise LeaseHeld(self._refusal(holder))
        return seen

    def _keep(self) -> None:
        while not self._stop.wait(self._renew_s):
            try:
                if not self._renew():
                    self._lost = str(_parse(self._storage, self._storage.get(LEASE, MAX_SMALL_BYTES)))
                    return
            except (
                OSError,
                OtherVersion,
            ) as error:  # whoever takes over meanwhile is seen as soon as the store answers
                self._say(f"the lease is not renewed yet: {error}")

    def _renew(self, released: bool = False) -> bool:
        """Whether the lease was still ours, and then it is renewed or released."""
        seen = self._storage.get(LEASE, MAX_SMALL_BYTES)
        if not self._is_mine(seen):
            return False
        renewed = self._storage.compare_and_swap(LEASE, seen, self._record(released))
        return renewed or self._is_mine(self._storage.get(LEASE, MAX_SMALL_BYTES))

    def _is_mine(self, record: bytes) -> bool:
        return _parse(self._storage, record).token == self._token

    def _record(self, released: bool = False) -> bytes:
        now = _now()
        return LeaseRecord(
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=_machine(),
            token=self._token,
            since=self._since,
            until=now if released else now + timedelta(seconds=self._lease_s),
            lease_s=self._lease_s,
            released=released,
        ).encode()

    def _refusal(self, holder: LeaseRecord) -> str:
        return (
            f"{self._storage.uri} is in use by {holder}, and that driver is alive; "
            "stop it first, or choose another --output"
        )


def current_holder(storage: Storage) -> str | None:
    """Who holds the lease at this moment, in words; None when nobody does."""
    try:
        holder = _parse(storage, storage.get(LEASE, MAX_SMALL_BYTES))
    except MissingKey:
        return None
    if holder.released or holder.until <= _now() or _died_here(holder):
        return None
    return str(holder)


def last_start(storage: Storage) -> datetime | None:
    """When the driver started that works here or was the last to; None without a lease."""
    try:
        return _parse(storage, storage.get(LEASE, MAX_SMALL_BYTES)).since
    except MissingKey:
        return None


def _parse(storage: Storage, data: bytes) -> LeaseRecord:
    name = storage.path_for(LEASE)
    try:
        found = decode(LeaseRecord, data, name)
        if found.until - _now() > timedelta(seconds=found.lease_s) + MAX_AHEAD:
            raise DamagedFile(f"{name}: damaged: a lease of {found.lease_s:g} s until {found.until:%Y-%m-%d}")
        return found
    except DamagedFile as error:
        raise DamagedFile(f"{error}; delete it if no run writes here") from error


def _now() -> datetime:
    return datetime.now(UTC)


def _machine() -> str | None:
    """As `LeaseRecord.machine`, of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _died_here(holder: LeaseRecord) -> bool:
    """Whether the holder ran on this machine and runs no more."""
    if holder.machine is None or holder.machine != _machine():
        return False
    renewed = holder.until.timestamp() - holder.lease_s
    try:
        process = psutil.Process(holder.pid)
        # a process that began after the lease was last renewed has only taken over the number
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > renewed
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:  # it runs, as another user
        return False
