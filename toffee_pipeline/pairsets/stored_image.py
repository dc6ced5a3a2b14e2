"""One image that lies in a storage as a file of its own."""

from __future__ import annotations

import numpy as np

from toffee_pipeline.errors import DamagedFile, ImageError, MissingKey
from toffee_pipeline.images import MAX_BYTES, decode
from toffee_pipeline.storage import Storage


def load_image(storage: Storage, key: str, size_bytes: int | None = None) -> np.ndarray:
    """Fetches and decodes to uint8 (H, W, 3).

    size_bytes: as listed, where it was; what is too large is not fetched. Raises ImageError that names the key, also
    where the file is not there or may not be read, and StorageError where the storage fails.
    """
    if size_bytes is not None and size_bytes > MAX_BYTES:
        raise ImageError(f"{key}: {size_bytes} bytes are too many; allowed are {MAX_BYTES}")
    try:
        if size_bytes is None:
            with storage.open(key) as file:
                data = file.read(MAX_BYTES + 1)
        else:
            data = storage.get(key, MAX_BYTES)
    except MissingKey as error:
        raise ImageError(f"{key}: no such file") from error
    except DamagedFile as error:
        raise ImageError(f"{key}: {error}") from error
    except PermissionError as error:
        raise ImageError(f"{key}: cannot be read: {error.strerror}") from error
    return decode(data, key)
