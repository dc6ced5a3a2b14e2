"""The user's own images: what lies below a folder, and how that list is kept with a run."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES

SYSTEM_NAMES = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini"})
"""What systems leave behind, beside names that start with a dot."""
UNREAD_SUFFIXES = frozenset({
    ".arw", ".avif", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".jp2", ".jxl",
    ".nef", ".orf", ".pef", ".ppm", ".psd", ".raf", ".raw", ".rw2", ".srw", ".svg", ".tga",
}) - SUFFIXES  # fmt: skip
"""Of images that Pillow alone does not read, or that show none to train on."""
MAX_CLASS_LENGTH = 60
"""Characters of a class name: a detector's phrase and a prompt hold little more."""
SHOWN = 3


@dataclass(frozen=True)
class FolderImage:
    """One image. path: relative to the folder, with "/"; class_name: the words of the folder that it lies in.

    mtime_ns: when it was last modified, nanoseconds since 1970.
    """

    path: str
    class_name: str
    size_bytes: int
    mtime_ns: int


@dataclass
class _Left:
    """Names of what is left out, by why."""

    undecodable: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        for names, why in (
            (self.undecodable, "names that are not UTF-8"),
            (self.hidden, "hidden, or the system's own"),
            (self.unread, "formats that are not read"),
            (self.repeated, "links to a folder that is listed already"),
            (self.broken, "cannot be opened"),
        ):
            if names:
                yield f"subjects.path: {len(names)} left out ({why}): {_few(names)}"


def class_words(folder: str) -> str:
    """ "colorful_sneaker" -> "colorful sneaker", "dog2" -> "dog"; cut between words at `MAX_CLASS_LENGTH`."""
    words = re.sub(r"[_\-\s]+", " ", re.sub(r"\d+$", "", folder)).strip()
    if len(words) > MAX_CLASS_LENGTH:
        words = words[: MAX_CLASS_LENGTH + 1].rpartition(" ")[0] or words[:MAX_CLASS_LENGTH]
    return words or "object"


def list_folder(root: Path) -> tuple[tuple[FolderImage, ...], tuple[str, ...]]:
    """The images below `root`, sorted by path, and lines for the user about what is left out.

    The folder directly below `root` names the class, however deep an image lies; `root` names that of images directly
    in it. Links are followed, and a folder that several links reach is listed once. Hidden files and folders, names
    that are not UTF-8 and formats that Pillow does not read are left out.

    Raises PlanError where `root` is no folder, or holds no image.
    """
    if not root.is_dir():
        raise PlanError(f"subjects.path: {_line(str(root))} is not a folder")
    if not _decodable(str(root)):
        raise PlanError(f"subjects.path: {_line(str(root))}: its name is not UTF-8")
    left = _Left()
    images = tuple(sorted(_walk(root, left), key=lambda image: image.path))
    notes = tuple(left.notes())
    if not images:
        raise PlanError("; ".join((f"subjects.path: no image ({', '.join(sorted(SUFFIXES))}) below {root}", *notes)))
    return images, notes


def _walk(root: Path, left: _Left) -> Iterator[FolderImage]:
    visited = {os.path.realpath(root)}
    for folder, folders, files in os.walk(root, followlinks=True, onerror=lambda error: _unlisted(error, root, left)):
        above = PurePosixPath(os.path.relpath(folder, root))
        entered = []
        for name in sorted(folders, key=lambda name: (os.path.islink(os.path.join(folder, name)), name)):
            path, target = (above / name).as_posix(), os.path.realpath(os.path.join(folder, name))
            if _kept(path, left):
                if target in visited:
                    left.repeated.append(path)
                else:
                    visited.add(target)
                    entered.append(name)
        folders[:] = entered
        for name in files:
            path, suffix = (above / name).as_posix(), os.path.splitext(name)[1].lower()
            if not _kept(path, left, is_image=suffix in SUFFIXES):
                continue
            if suffix in UNREAD_SUFFIXES:
                left.unread.append(path)
            elif suffix in SUFFIXES:
                try:
                    status = os.stat(os.path.join(folder, name))
                except OSError:  # a link to nothing
                    status = None
                if status is None or not stat.S_ISREG(status.st_mode):
                    left.broken.append(path)
                    continue
                top = above.parts[0] if above.parts else root.name
                yield FolderImage(path, class_words(top), status.st_size, status.st_mtime_ns)


def _kept(path: str, left: _Left, is_image: bool = True) -> bool:
    name = PurePosixPath(path).name
    if name.startswith(".") or name.lower() in SYSTEM_NAMES:
        left.hidden.append(path)
        return False
    if not _decodable(name):
        if is_image:
            left.undecodable.append(path)
        return False
    return True


def _unlisted(error: OSError, root: Path, left: _Left) -> None:
    left.broken.append(os.path.relpath(error.filename, root))


def to_lines(images: Iterable[FolderImage]) -> bytes:
    """One line of JSON per image: what a plan's hash covers."""
    return "".join(f"{json.dumps(asdict(image), ensure_ascii=False)}\n" for image in images).encode()


def to_bytes(images: Iterable[FolderImage]) -> bytes:
    """`to_lines` in gzip; the same images give the same bytes."""
    return gzip.compress(to_lines(images), mtime=0)


def from_bytes(data: bytes, name: str) -> tuple[FolderImage, ...]:
    """The images of `to_bytes`. name: what errors call the file. Raises PlanError where it is damaged."""
    try:
        return tuple(FolderImage(**json.loads(line)) for line in gzip.decompress(data).splitlines())
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
        raise PlanError(f"{name}: damaged: {error!r}") from error


def first_difference(old: Iterable[FolderImage], new: Iterable[FolderImage]) -> str | None:
    """One line about the first file, by path, that is not in `new` as it was in `old`; None where all are the same."""
    before, now = ({image.path: image for image in images} for images in (old, new))
    for path in sorted(before.keys() | now.keys()):
        if path not in now:
            return f"{_line(path)}: not there any more"
        if path not in before:
            return f"{_line(path)}: new"
        was, is_now = before[path], now[path]
        if (was.size_bytes, was.mtime_ns) != (is_now.size_bytes, is_now.mtime_ns):
            return f"{_line(path)}: was {_state(was)}, now {_state(is_now)}"
        if was != is_now:
            return f"{_line(path)}: was of class {was.class_name!r}, now of {is_now.class_name!r}"
    return None


def _state(image: FolderImage) -> str:
    modified = datetime.fromtimestamp(image.mtime_ns / 1e9, UTC).replace(tzinfo=None)
    return f"{image.size_bytes:,} bytes of {modified.isoformat(' ', 'milliseconds')} UTC"


def _decodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _few(paths: list[str]) -> str:
    shown = sorted(paths)[:SHOWN]
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(map(_line, shown)) + more


def _line(path: str) -> str:
    """The path on one line, whatever its name holds."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
