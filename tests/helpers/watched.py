"""What code does to the world, by Python's audit events: files that it reads, writes, deletes, programs and sockets."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LISTING = {"os.listdir", "os.scandir"}
DELETING = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
PROGRAMS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "socket.connect", "socket.getaddrinfo"}
OWN = tuple(Path(folder).resolve() for folder in (sys.prefix, sys.base_prefix, Path(__file__).parents[2]))
"""Where Python, its libraries and the project lie, which read themselves."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""By which a lease knows its machine."""
_places: list[tuple[tuple[Path, ...], tuple[Path, ...]]] = []
_found: list[str] = []


def _hook(event: str, arguments: tuple) -> None:
    if not _places:
        return
    if event in PROGRAMS:
        _found.append(f"{event} {arguments[:2]!r}")
    elif event == "open":
        path, mode, flags = arguments
        if not isinstance(path, int):
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            _note(event, path) if writes else _note("read", path, reads=True)
    elif event in LISTING:
        if not isinstance(arguments[0], int):
            _note(event, arguments[0] or ".", reads=True)
    elif event in DELETING:
        folder = arguments[1] if event in ("os.remove", "os.rmdir") else -1
        for path in arguments[:2]:
            if isinstance(path, str | bytes | os.PathLike):
                _note(event, path if folder < 0 else f"/proc/self/fd/{folder}/{os.fsdecode(path)}")


def _note(event: str, path: str | bytes | os.PathLike, reads: bool = False) -> None:
    real = Path(os.path.realpath(os.fsdecode(path)))
    if "__pycache__" in real.parts or real == Path(os.devnull):
        return  # Python's own
    touched, read = _places[-1]
    if reads and (real == BOOT or real in [place.parent for place in touched]):  # a new folder's parent is synced
        return
    if not any(real.is_relative_to(place) for place in (*touched, *((*read, *OWN) if reads else ()))):
        _found.append(f"{event} {real}")


sys.addaudithook(_hook)  # there is no way to take one away


@contextmanager
def nothing_touched_but(*places: Path, read: Sequence[Path] = ()) -> Iterator[None]:
    """Fails where files elsewhere are read, written or deleted, a program is started, or a socket is connected.

    read: may be read as well.
    """
    _found.clear()
    _places.append((tuple(place.resolve() for place in places), tuple(place.resolve() for place in read)))
    try:
        yield
    finally:
        _places.pop()
    assert not _found, sorted(set(_found))
