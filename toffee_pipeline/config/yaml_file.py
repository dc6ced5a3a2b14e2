"""Reads YAML that a user wrote: plain data only, and whatever is wrong with it is one line."""

from __future__ import annotations

import codecs
from typing import Any

import yaml

from toffee_pipeline.errors import ConfigError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Loader(yaml.SafeLoader):
    """Plain YAML in which a key stands once in its mapping: PyYAML would silently take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


def read_yaml(data: bytes, name: str) -> Any:
    """The content of a YAML file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Args:
        name: what error messages call the file.

    Raises:
        ConfigError: another encoding, no valid YAML, a tag that asks for more than plain data, or a key that stands
            twice in one mapping; one line that names the file and, where there is one, the line in it.
    """
    try:
        text = data.decode("utf-16" if data.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start} on): save it as UTF-8") from error
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{name}: no valid YAML: {place}{problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date such as 2026-99-99
        raise ConfigError(f"{name}: no valid YAML: {' '.join(str(error).split())}") from error
