"""Reads YAML that a user wrote: plain data only, and whatever is wrong with it is one line."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Sequence
from typing import Any

import yaml
from yaml.composer import Composer

from toffee_pipeline.errors import ConfigError

MAX_BYTES = 2**20
MAX_NODES = 100_000
"""Values, keys and lists of a file, with what an alias stands for counted anew each time."""
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Loader(Composer, yaml.CSafeLoader):
    """Plain YAML in which a key stands once in its mapping: PyYAML would silently take the last. Scanned and parsed in
    C, which is several times as fast."""

    def __init__(self, stream: str) -> None:
        yaml.CSafeLoader.__init__(self, stream)
        Composer.__init__(self)
        self._num_nodes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        node: yaml.Node | None = super().compose_node(parent, index)
        if node is None:
            return None
        if is_alias and node not in self._num_nodes:
            raise yaml.MarkedYAMLError(problem="an alias stands inside of itself", problem_mark=node.start_mark)
        if not is_alias:
            parts = itertools.chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
            inside = sum(self._num_nodes[part] for part in parts) if isinstance(node, yaml.CollectionNode) else 0
            self._num_nodes[node] = 1 + inside
        if max(self._num_nodes[node], len(self._num_nodes)) > MAX_NODES:
            problem = f"more than {MAX_NODES} values, those of an alias counted each time"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

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
        ConfigError: more than `MAX_BYTES` or `MAX_NODES`, another encoding, no valid YAML, a tag that asks for more
            than plain data, or a key that stands twice in one mapping; one line that names the file and, where there
            is one, the line in it.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{name}: {len(data)} bytes are too many; allowed are {MAX_BYTES}")
    try:
        text = _text(data)
        return yaml.load(text, _Loader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start} on): save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        last = len(f"{text}.".splitlines())  # libyaml counts one more line where the last one does not end
        place = f"line {min(error.problem_mark.line + 1, last)}: " if error.problem_mark else ""
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{name}: no valid YAML: {place}{problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date such as 2026-99-99
        raise ConfigError(f"{name}: no valid YAML: {' '.join(str(error).split())}") from error


def compose(data: bytes) -> yaml.Node | None:
    """The nodes of a YAML file that `read_yaml` can read, for `line_of`."""
    return yaml.compose(_text(data), _Loader)


def line_of(root: yaml.Node | None, place: Sequence[str | int | bool]) -> int:
    """The line, from 1 on, at which something stands in a YAML file.

    Args:
        root: as `compose` makes it.
        place: keys of mappings; of a list's element its index or its words, or the key that it is a mapping of. Words
            that stand twice are found where they stand again. Where a part is not found, the line of the part before.
    """
    node = root
    line = node.start_mark.line if node else 0
    for part in place:
        named = [entry for entry in _entries(node) if _is_called(entry[0], part)]
        if named:
            key, node = named[-1]
        elif isinstance(node, yaml.SequenceNode) and type(part) is int and part < len(node.value):
            key = node = node.value[part]
        else:
            break
        line = key.start_mark.line
    return line + 1


def _entries(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    """What stands in a mapping or list: its name and its value; a word in a list is its own name."""
    if isinstance(node, yaml.MappingNode):
        return list(node.value)
    elements = node.value if isinstance(node, yaml.SequenceNode) else []
    return [entry for each in elements for entry in (_entries(each) if each.id == "mapping" else [(each, each)])]


def _is_called(node: yaml.Node, part: str | int | bool) -> bool:
    """Whether a word or key is this one; of a bare `no` or `yes` its truth."""
    if isinstance(part, bool):
        return bool(node.tag.endswith(":bool")) and yaml.SafeLoader.bool_values[node.value.lower()] is part
    return bool(node.value == part)


def _text(data: bytes) -> str:
    return data.decode("utf-16" if data.startswith(UTF16) else "utf-8-sig")
