"""InstructPix2Pix's layout, as its own `EditDataset` reads it: `seeds.json` lists folders and the seeds in each.

https://github.com/timothybrooks/instruct-pix2pix/blob/main/edit_dataset.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from toffee_pipeline.config.refine_pairs import InstructPix2PixPairs, PairColumns
from toffee_pipeline.errors import DamagedFile, MissingKey, PlanError
from toffee_pipeline.pairsets.given import broken_pair, images_of_files, pair_of
from toffee_pipeline.plan.refinement import GivenPair, LazyImages
from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.base import is_key

SEEDS, PROMPT = "seeds.json", "prompt.json"
COLUMNS = PairColumns(prompt="output", input_prompt="input", instruction="edit", class_name=None, category=None)
"""Keys of `prompt.json`. Older files call the input's caption `caption`."""
READERS, AT_ONCE = 16, 1024
MAX_PROMPT_BYTES = 2**20


class InstructPix2Pix:
    """A pair for each seed of `seeds.json`, in its order."""

    def __init__(self, source: InstructPix2PixPairs, storage: Storage) -> None:
        self._source, self._storage = source, storage

    def files(self, key: str) -> bool:
        return key.endswith((".jpg", ".json"))

    def pairs(self) -> Iterator[GivenPair]:
        folders = iter(self._folders())
        with ThreadPoolExecutor(READERS) as pool:
            while some := list(islice(folders, AT_ONCE)):
                for (folder, seeds), row in zip(some, pool.map(self._prompt, [name for name, _ in some]), strict=True):
                    for seed in seeds:
                        yield self._pair(f"{folder}/{seed}", row)

    def images(self, places: Sequence[str]) -> list[LazyImages]:
        return images_of_files(COLUMNS, self._storage, places)

    def _folders(self) -> list[tuple[str, list[str]]]:
        where = self._storage.path_for(SEEDS)
        try:
            listed = json.loads(self._storage.get(SEEDS))
            return [(str(folder), [str(seed) for seed in seeds]) for folder, seeds in listed]
        except MissingKey as error:
            raise PlanError(
                f"source.path: {where}: no such file; format=instructpix2pix is a folder with {SEEDS} and folders of "
                f"{PROMPT}, SEED_0.jpg and SEED_1.jpg"
            ) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise PlanError(f"source.path: {where}: expected is [[FOLDER, [SEED, ...]], ...]: {error}") from error

    def _prompt(self, folder: str) -> dict[str, Any] | str:
        """What `prompt.json` says, or what is wrong with it."""
        key = f"{folder}/{PROMPT}"
        if not is_key(key):
            return "its folder is no path below the set's"
        try:
            row = json.loads(self._storage.get(key, MAX_PROMPT_BYTES))
        except MissingKey:
            return f"no {PROMPT}"
        except DamagedFile as error:
            return str(error)
        except (ValueError, RecursionError) as error:
            return f"{PROMPT}: {error}"
        if not isinstance(row, dict):
            return f"{PROMPT}: not a JSON object"
        return {"input": row["caption"], **row} if "caption" in row else row

    def _pair(self, stem: str, row: dict[str, Any] | str) -> GivenPair:
        if isinstance(row, str):
            return broken_pair(self._source, stem, row)
        keys = [f"{stem}_{number}.jpg" for number in (0, 1)]
        if not all(map(is_key, keys)):
            return broken_pair(self._source, stem, "its seed is no name of a file", row)
        return pair_of(self._source, COLUMNS, row, stem, keys)
