"""A stranger's Python beside weights."""

import json
from pathlib import Path
from typing import Any

CODE = "stranger.Stranger"
"""As `auto_map` names what `place_code` writes."""


def place_code(folder: Path) -> Path:
    """A module that leaves a mark where it is imported. Returns the mark."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "mark"
    (folder / "stranger.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Stranger: pass\n")
    return mark


def add(path: Path, **keys: Any) -> None:
    """Adds keys to a JSON file, or writes it."""
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | keys))
