"""Where weights come from, and what identifies them. Knows no torch, so that a job's driver can say it at once."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from toffee_pipeline.config.base import ModelSpec, SegmenterSpec
from toffee_pipeline.errors import ConfigError, DamagedFile
from toffee_pipeline.plain_file import open_plain

WEIGHT_SUFFIXES = frozenset((".safetensors", ".bin", ".pt", ".pth", ".ckpt"))
SAMPLE_BLOCKS, SAMPLE_BLOCK_BYTES = 1024, 2**14
NANO_WEIGHTS = Path(__file__).parent.parent / "nano" / "weights"


def resolve(spec: ModelSpec, network: str) -> Path | str:
    """The local path or hub id that `from_pretrained` should read.

    Args:
        network: name of the folder below `nano/weights`, for spec.weights=nano.

    Raises:
        FileNotFoundError: the path, or the nano network, does not exist.
        ValueError: untrained or random weights, which no file holds.
        DamagedFile: a pipe or a device lies at the path, or in the folder.
    """
    if not spec.has_files:
        raise ValueError(f"{network}: {spec.weights} weights are built, not read")
    if spec.weights == "nano":
        folder = NANO_WEIGHTS / network
        if not folder.is_dir():
            there = ", ".join(sorted(path.name for path in NANO_WEIGHTS.glob("*/"))) or "none"
            raise FileNotFoundError(f"no nano weights of {network!r}; there are: {there}")
        return folder
    if spec.path is None:
        assert spec.id is not None  # ModelSpec sees to it
        return spec.id
    if not spec.path.exists():
        raise FileNotFoundError(f"{network}: no such file or folder: {spec.path}")
    _refuse_pipes(spec.path)
    return spec.path


def _refuse_pipes(path: Path) -> None:
    """Libraries open what they find by its name, and would wait for a pipe or a device for ever."""
    left, seen = [path], set[tuple[int, int]]()
    while left:
        entry = left.pop()
        try:
            status = entry.stat()
            place = (status.st_dev, status.st_ino)  # links may lead round in circles
            if stat.S_ISDIR(status.st_mode) and place not in seen:
                seen.add(place)
                left.extend(entry.iterdir())
        except OSError:  # such as a link to nothing: who needs it says so
            continue
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise DamagedFile(f"{entry}: damaged: no regular file")


def hub_options(spec: ModelSpec) -> dict[str, Any]:
    """Keyword arguments of every `from_pretrained`: revision and variant of a hub id; nothing is fetched for a path."""
    if spec.weights == "nano":
        return {"local_files_only": True}
    variant = {"variant": spec.variant} if spec.variant else {}
    return variant | ({"local_files_only": True} if spec.path else {"revision": spec.revision})


def config_options(spec: ModelSpec) -> dict[str, Any]:
    """`hub_options` for what is no weights, so has no variant: configs, schedulers, tokenizers."""
    return {key: value for key, value in hub_options(spec).items() if key != "variant"}


def weights_hash(spec: ModelSpec, network: str) -> str | None:
    """First 16 hex digits of the SHA-256 over the files of a local or nano network; None for a hub id and for
    weights that are made.

    All weight files of a folder count, with their relative paths, in the order of these.
    """
    if not spec.has_files or (spec.weights == "pretrained" and spec.path is None):
        return None
    return _hash_of_files(Path(resolve(spec, network)), _sha256)


def sample_of(source: Path) -> str:
    """As `weights_hash`, but of `SAMPLE_BLOCKS` blocks of each file, evenly spread, and its size: of a small file all.

    A second for any size, and training changes nearly every block.
    """
    return _hash_of_files(source, _sampled_sha256)


def _hash_of_files(source: Path, hash_of: Callable[[Path], str]) -> str:
    digest = hashlib.sha256()
    for path in _weight_files(source) if source.is_dir() else [source]:
        digest.update(path.relative_to(source).as_posix().encode())
        digest.update(bytes.fromhex(hash_of(path)))
    return digest.hexdigest()[:16]


def _sampled_sha256(path: Path) -> str:
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        for start in range(0, size, max(SAMPLE_BLOCK_BYTES, size // SAMPLE_BLOCKS)):
            digest.update(os.pread(file.fileno(), SAMPLE_BLOCK_BYTES, start))
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache
def _sha256_of(path: Path, *_: int) -> str:
    """Of a file that has been read before as it stands, nothing is read: roles share weights."""
    with open_plain(path) as file:
        return hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES and path.is_file())


def require_digest(spec: ModelSpec, path: Path) -> None:
    """Raises ConfigError where the file is not the one whose SHA-256 the config names."""
    if not isinstance(spec, SegmenterSpec) or spec.sha256 is None:
        return
    found = _sha256(path)
    if found != spec.sha256:
        raise ConfigError(
            f"{path}: its SHA-256 is {found}, models.segmenter.sha256 says {spec.sha256}; null allows any file"
        )


def describe_weights(spec: ModelSpec, network: str) -> str:
    """One set of weights in words, with what identifies it."""
    if spec.weights == "untrained":
        return "untrained (random weights)"
    if spec.weights == "random":
        return "untrained (random weights of the published architecture)"
    if spec.weights == "nano":
        return f"nano weights {weights_hash(spec, network)}"
    if spec.path is not None:
        return f"pretrained {spec.path.name} {weights_hash(spec, network)}"
    return f"pretrained {spec.id}@{spec.revision or 'main'}"


def absence(spec: ModelSpec) -> str:
    """Of a hub id without weights in the hub's cache, at its revision, what that means; "" of all others."""
    if spec.weights != "pretrained" or spec.path is not None:
        return ""
    from huggingface_hub import constants, snapshot_download  # half a second, that only who asks waits for
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        folder = snapshot_download(str(spec.id), revision=spec.revision, local_files_only=True)
        if _weight_files(Path(folder)):  # a tokenizer alone may have been fetched
            return ""
    return f"not on this machine{', and HF_HUB_OFFLINE is set' if constants.HF_HUB_OFFLINE else ': will be downloaded'}"


def load_pretrained(kind: type[Any], source: Path | str, **options: Any) -> Any:
    """`kind.from_pretrained`, of transformers' or diffusers' classes; code that lies with the weights is never run.
    Raises as `loading_from`."""
    with loading_from(source):
        return kind.from_pretrained(source, trust_remote_code=False, **options)


@contextmanager
def loading_from(source: Path | str) -> Iterator[None]:
    """Raises ConfigError where weights ask for code of their own, and where what lies at a local path cannot be loaded:
    for that the libraries raise whatever their own code ran into."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise ConfigError(f"{source}: asks for code of its own, which is never run") from error
        if not isinstance(source, Path):
            raise
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source}: cannot be loaded: {type(error).__name__}: {reason}") from error
