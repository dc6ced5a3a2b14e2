"""What code does to the world, by Python's audit events: files that it writes or deletes, programs and sockets."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DELETING = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
PROGRAMS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "socket.connect", "socket.getaddrinfo"}
_places: list[tuple[Path, ...]] = []
_found: list[str] = []


def _hook(event: str, arguments: tuple) -> None:
    if not _places:
        return
    if event in PROGRAMS:
        _found.append(f"{event} {arguments[:2]!r}")
    elif event == "open":
        path, mode, flags = arguments
        if not isinstance(path, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _note(event, path)
    elif event in DELETING:
        for path in arguments[:2]:
            if isinstance(path, str | bytes | os.PathLike):
                _note(event, path)


def _note(event: str, path: str | bytes | os.PathLike) -> None:
    real = Path(os.path.realpath(os.fsdecode(path)))
    if "__pycache__" in real.parts or real == Path(os.devnull):
        return  # Python's own
    if not any(real.is_relative_to(place) for place in _places[-1]):
        _found.append(f"{event} {real}")


sys.addaudithook(_hook)  # there is no way to take one away


@contextmanager
def nothing_touched_but(*places: Path) -> Iterator[None]:
    """Fails where files elsewhere are written or deleted, a program is started, or a socket is connected."""
    _found.clear()
    _places.append(tuple(place.resolve() for place in places))
    try:
        yield
    finally:
        _places.pop()
    assert not _found
