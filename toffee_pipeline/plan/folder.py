"""The user's own images: what lies below a folder, and how that list is kept with a run."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import TypeAdapter

from toffee_pipeline.errors import PlanError
from toffee_pipeline.images import SUFFIXES
from toffee_pipeline.plan.captions import TEXT_SUFFIX, read_captions
from toffee_pipeline.plan.language import is_english
from toffee_pipeline.plan.metadata import METADATA_NAMES
from toffee_pipeline.plan.names import few, one_line
from toffee_pipeline.plan.stored_list import PathBelow, read_list

SYSTEM_NAMES = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini"})
"""What systems leave behind, beside names that start with a dot."""
UNREAD_SUFFIXES = frozenset({
    ".arw", ".avif", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".jp2", ".jxl",
    ".nef", ".orf", ".pef", ".ppm", ".psd", ".raf", ".raw", ".rw2", ".srw", ".svg", ".tga",
}) - SUFFIXES  # fmt: skip
"""Of images that Pillow alone does not read, or that show none to train on."""
MAX_CLASS_LENGTH = 60
"""Characters of a class name: a detector's phrase and a prompt hold little more."""
MAX_CAPTION_LENGTH = 120
"""Characters of a caption: about 30 of the 77 tokens that a prompt may have, so that its change finds room."""
CAPTION_LEAD = re.compile(r"^((an?|the)\s+)?(photo|photograph|picture|image)\s+of\s+", re.IGNORECASE)
ARTICLE = re.compile(r"^(an?|the)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class FolderImage:
    """One image. path: relative to the folder, with "/"; class_name: the words of the folder that it lies in.

    mtime_ns: when it was last modified, nanoseconds since 1970. caption: the words of the one beside it.
    """

    path: PathBelow
    class_name: str
    size_bytes: int
    mtime_ns: int
    caption: str | None = None


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
                yield f"subjects.path: {len(names)} left out ({why}): {few(names)}"


def class_words(folder: str) -> str:
    """ "colorful_sneaker" -> "colorful sneaker", "dog2" -> "dog"; cut between words at `MAX_CLASS_LENGTH`."""
    words = re.sub(r"[_\-\s]+", " ", re.sub(r"\d+$", "", folder)).strip()
    return _cut(words, MAX_CLASS_LENGTH) or "object"


def caption_words(caption: str) -> str:
    """ "A photo of a fluffy corgi, sitting." -> "fluffy corgi, sitting"; cut between words at `MAX_CAPTION_LENGTH`."""
    words = CAPTION_LEAD.sub("", _cut(caption.strip(), MAX_CAPTION_LENGTH), count=1)
    return ARTICLE.sub("", words, count=1).rstrip(" .,;:")


def _cut(words: str, length: int) -> str:
    return words if len(words) <= length else words[: length + 1].rpartition(" ")[0] or words[:length]


def list_folder(
    root: Path, other_languages: Literal["refuse", "pass"] = "refuse"
) -> tuple[tuple[FolderImage, ...], tuple[str, ...]]:
    """The images below `root`, sorted by path, and lines for the user about what is left out.

    The folder directly below `root` names the class, however deep an image lies; `root` names that of images directly
    in it. Links are followed, and a folder that several links reach is listed once. Hidden files and folders, names
    that are not UTF-8 and formats that Pillow does not read are left out. Captions: `read_captions`; one that is not
    English counts as none under other_languages="refuse".

    Raises PlanError where `root` is no folder, or holds no image, or a caption cannot be read.
    """
    if not root.is_dir():
        raise PlanError(f"subjects.path: {one_line(str(root))} is not a folder")
    if not _decodable(str(root)):
        raise PlanError(f"subjects.path: {one_line(str(root))}: its name is not UTF-8")
    left = _Left()
    beside: list[str] = []
    images = sorted(_walk(root, left, beside), key=lambda image: image.path)
    notes = tuple(left.notes())
    if not images:
        raise PlanError("; ".join((f"subjects.path: no image ({', '.join(sorted(SUFFIXES))}) below {root}", *notes)))
    captions, caption_notes = read_captions(root, [image.path for image in images], beside)
    foreign = {path for path, caption in captions.items() if not is_english(caption)}
    kept = {path: text for path, text in captions.items() if path not in foreign or other_languages == "pass"}
    images = [replace(image, caption=caption_words(kept.get(image.path, "")) or None) for image in images]
    if foreign:
        fate = "left out" if other_languages == "refuse" else "kept"
        caption_notes.append(f"subjects.path: {len(foreign)} captions that are not English are {fate}: {few(foreign)}")
    return tuple(images), (*notes, *caption_notes, *_caption_notes(images, kept))


def _caption_notes(images: list[FolderImage], captions: dict[str, str]) -> Iterator[str]:
    if cut := [path for path, caption in captions.items() if len(caption) > MAX_CAPTION_LENGTH]:
        yield f"subjects.path: {len(cut)} captions cut at {MAX_CAPTION_LENGTH} characters: {few(cut)}"
    without = [image.path for image in images if image.caption is None]
    if len(without) < len(images) and without:
        yield f"subjects.path: {len(without)} without a caption: {few(without)}"


def _walk(root: Path, left: _Left, beside: list[str]) -> Iterator[FolderImage]:
    """beside: gets the paths of what may hold captions."""
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
            is_caption = name in METADATA_NAMES or suffix == TEXT_SUFFIX
            if suffix in UNREAD_SUFFIXES:
                left.unread.append(path)
            elif suffix in SUFFIXES or is_caption:
                try:
                    status = os.stat(os.path.join(folder, name))
                except OSError:  # a link to nothing
                    status = None
                if status is None or not stat.S_ISREG(status.st_mode):
                    left.broken.append(path)
                elif is_caption:
                    beside.append(path)
                else:
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
    """One line of JSON per image: what a plan's hash covers. What is None does not stand in it."""
    known = ({key: value for key, value in asdict(image).items() if value is not None} for image in images)
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in known).encode()


def to_bytes(images: Iterable[FolderImage]) -> bytes:
    """`to_lines` in gzip; the same images give the same bytes."""
    return gzip.compress(to_lines(images), mtime=0)


def from_bytes(data: bytes, name: str) -> tuple[FolderImage, ...]:
    """The images of `to_bytes`. name: what errors call the file. Raises PlanError where it is damaged."""
    return tuple(read_list(data, name, TypeAdapter(FolderImage)))


def first_difference(old: Iterable[FolderImage], new: Iterable[FolderImage], by_time: bool = True) -> str | None:
    """One line about the first file, by path, that is not in `new` as it was in `old`; None where all are the same.

    by_time: whether a file of the same size that was modified at another time is another.
    """
    before, now = ({image.path: image for image in images} for images in (old, new))
    for path in sorted(before.keys() | now.keys()):
        if path not in now:
            return f"{one_line(path)}: not there any more"
        if path not in before:
            return f"{one_line(path)}: new"
        was, is_now = before[path], now[path]
        if was.size_bytes != is_now.size_bytes or (by_time and was.mtime_ns != is_now.mtime_ns):
            return f"{one_line(path)}: was {_state(was)}, now {_state(is_now)}"
        if was.class_name != is_now.class_name:
            return f"{one_line(path)}: was of class {was.class_name!r}, now of {is_now.class_name!r}"
        if was.caption != is_now.caption:
            return f"{one_line(path)}: its caption was {was.caption!r}, now {is_now.caption!r}"
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
